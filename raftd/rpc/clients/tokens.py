"""Tokens: what a caller gets for its password, and shows with every call.

A token says who it is for, and is signed with a secret that stands in the replicated state. So any
node takes the token of any other, nothing is written to the log for a login, and whoever switches
auth off and on again ends all of them at once.

    token       base64 without padding, for URLs, of: version u8 = 1, serial u64, issued u64
                (milliseconds since the epoch), 8 random bytes, name; then its HMAC-SHA-256

As etcd's simple tokens, one lives on while it is used: each node remembers what it was shown of
late. A node that never saw it goes by when it was issued. Network thread only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

HEAD: Final = Struct("<BQQ8s")
VERSION: Final = 1
MAC_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 512
SEEN_MAX: Final = 16_384
"""Tokens that a node remembers; of more, those that were used least of late count from their issue
again."""


class Token(NamedTuple):
    """serial: the user's, see wire.principal."""

    name: str
    serial: int
    issued_ms: int


class Tokens:
    def __init__(
        self, epoch_ms: Callable[[], int], ttl_ms: int, draw: Callable[[int], bytes]
    ) -> None:
        """epoch_ms: this node's clock. ttl_ms: for how long a token serves that nobody uses.

        draw: so many random bytes.
        """
        self._epoch_ms = epoch_ms
        self._ttl_ms = ttl_ms
        self._draw = draw
        self._used: OrderedDict[str, int] = OrderedDict()

    def issue(self, secret: bytes, name: str, serial: int) -> str:
        body = HEAD.pack(VERSION, serial, self._epoch_ms(), self._draw(8)) + name.encode()
        return base64.urlsafe_b64encode(body + _mac(secret, body)).rstrip(b"=").decode()

    def read(self, secret: bytes, text: str) -> Token | None:
        """None for what nobody issued with this secret, and for what has served its time."""
        token = _opened(secret, text)
        if token is None:
            return None
        now = self._epoch_ms()
        since = max(token.issued_ms, self._used.get(text, 0))
        if not abs(now - since) <= self._ttl_ms:  # also one from a far future: a clock was wrong
            self._used.pop(text, None)
            return None
        self._used[text] = now
        self._used.move_to_end(text)
        if len(self._used) > SEEN_MAX:
            self._used.popitem(last=False)
        return token


def _opened(secret: bytes, text: str) -> Token | None:
    if not secret or len(text) > TOKEN_CHARS_MAX:
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if len(body) <= HEAD.size or not hmac.compare_digest(_mac(secret, body), mac):
        return None
    version, serial, issued_ms, _ = HEAD.unpack_from(body)
    if version != VERSION:
        return None
    return Token(body[HEAD.size :].decode("utf-8", "replace"), serial, issued_ms)


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"raftd token\0" + body, hashlib.sha256)
