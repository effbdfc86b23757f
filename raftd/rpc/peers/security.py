"""How nodes prove to each other who they are, beside what they say of themselves.

A cluster secret: every envelope carries a code that only holders of the secret can make, for this
sender, this addressee and both incarnations. It is the least that is asked of peers in plain text:
a stranger who cannot listen on the network can neither speak nor answer for a node.

TLS: both ends show certificates of one authority, and who sends has to be named in his: a stolen
certificate is one node, not all.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from raftd.core.types import NodeId
from raftd.tls.contexts import Tls
from raftd.tls.names import speaks_for

CODE_BYTES = 16
SECRET_BYTES_MIN = 16


@dataclass(frozen=True, slots=True)
class PeerSecurity:
    """secret: shared by all nodes, at least SECRET_BYTES_MIN bytes; empty: no code is asked for.

    migrating: messages without a code are taken as well, so that nodes can be given the secret one
    after the other.

    tls: of this node's side of all connections between nodes; None: plain text. tls_optional: plain
    text is taken too, and spoken to nodes that have no TLS yet.
    """

    secret: bytes = b""
    migrating: bool = False
    tls: Tls | None = None
    tls_optional: bool = False

    def code(self, *said: str) -> bytes:
        """The proof for an envelope with these fields, in order; empty without a secret."""
        if not self.secret:
            return b""
        # Lengths first: two envelopes with other borders between their fields differ.
        text = "".join(f"{len(part)}:{part}" for part in ("raftd envelope 1", *said))
        return hmac.new(self.secret, text.encode(), hashlib.sha256).digest()[:CODE_BYTES]

    def convinced_by(self, code: bytes, *said: str) -> bool:
        if not self.secret or (self.migrating and not code):
            return True
        return hmac.compare_digest(code, self.code(*said))

    def impostor(self, context: Any, sender: NodeId) -> str:
        """Why the caller cannot be `sender`, in one line; empty if he can.

        context: of the call (`grpc.aio.ServicerContext`).
        """
        if self.tls is None:
            return ""
        found = context.auth_context()
        if self.tls_optional and found.get("transport_security_type") != [b"ssl"]:
            return ""
        shown = found.get("x509_subject_alternative_name", ())
        nodes = speaks_for(name.decode("utf-8", "replace") for name in shown)
        if sender in nodes:
            return ""
        whose = f"of {nodes[0]!r}" if nodes else "of no node"
        return f"a message from {sender!r} on a connection with the certificate {whose[:80]}"


NOTHING_ASKED = PeerSecurity()
