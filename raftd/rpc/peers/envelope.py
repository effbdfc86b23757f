"""Who speaks to whom: made and checked here, so that the core only sees what is meant for it.

A channel reconnects silently, and a container's address is reused: without these checks another
process could answer for a peer, and its acknowledgement would count (house rule: who speaks).
"""

from __future__ import annotations

from collections.abc import Callable

from raftd._pb import raft_pb2 as pb
from raftd.core.types import Identity, Incarnation, NodeId
from raftd.rpc.api import PeerNode
from raftd.rpc.directory import TWINS, Directory, Lives
from raftd.rpc.peers.checks import Rejected, check_incarnation, check_node_id
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity

REMEMBERED_MAX = 256
"""Envelopes whose code was right: comparing is cheaper than making it again for each message."""

WITHHELD = "withheld"
"""In the place of an incarnation that the other side is not told."""


ONE_CLUSTER = "token and voters must be the same in every node's configuration"


Impostor = Callable[[NodeId], str]


def _nobody(sender: NodeId) -> str:
    return ""


class Mismatch(Exception):
    """A message that is not for this node, or not from whom it should be.

    One line, for this node's own log: it holds the right values, which no stranger may be told.
    hint: what he may be told.
    """

    def __init__(self, line: str, hint: str = "") -> None:
        super().__init__(line)
        self.hint = hint


class Envelopes:
    """Network thread only. `expected`: the recorded incarnation of a node, or None.

    security: what a peer has to prove; the right codes of few peers are remembered.
    """

    def __init__(
        self,
        identity: Identity,
        expected: Callable[[NodeId], Incarnation | None],
        security: PeerSecurity = NOTHING_ASKED,
        lives: Lives | None = None,
    ) -> None:
        """lives: which processes speak as the nodes; None: known to nobody else."""
        self._lives = lives or Lives()
        self._own = identity
        self._expected = expected
        self._security = security
        self._made: dict[tuple[NodeId, Incarnation], pb.Envelope] = {}
        self._proven: dict[tuple[str, ...], bytes] = {}

    @classmethod
    def at(cls, node: PeerNode, security: PeerSecurity, directory: Directory) -> Envelopes:
        """Those of one node: all that it hears goes through the same `lives`."""
        return cls(node.identity, node.expected_incarnation, security, directory.lives)

    def make(self, addressee: NodeId, incarnation: Incarnation) -> pb.Envelope:
        """An envelope from this node. Shared: never change it."""
        key = (addressee, incarnation)
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= 256:  # strangers may come with any name
                self._made.clear()
            made = self._made[key] = pb.Envelope(
                cluster=self._own.cluster,
                sender=self._own.node,
                sender_incarnation=self._own.incarnation,
                addressee=addressee,
                addressee_incarnation=incarnation,
                sender_life=self._lives.own,
            )
            made.code = self._security.code(*_said(made))
        return made

    def request_to(self, peer: NodeId) -> pb.Envelope:
        """For anything but Hello. Raises Mismatch while the peer's incarnation is not recorded."""
        incarnation = self._expected(peer)
        if incarnation is None:
            raise Mismatch(f"the incarnation of {peer} is not recorded yet: only Hello may be sent")
        return self.make(peer, incarnation)

    def hello_to(self, peer: NodeId) -> pb.Envelope:
        return self.make(peer, "")

    def reply_to(self, request: pb.Envelope) -> pb.Envelope:
        return self.make(request.sender, request.sender_incarnation)

    def refusal_of(self, hello: pb.Envelope) -> pb.Envelope:
        """For a Hello that is refused: whoever sent it does not learn this node's incarnation."""
        envelope = pb.Envelope()
        envelope.CopyFrom(self.make(hello.sender, hello.sender_incarnation))
        envelope.sender_incarnation = WITHHELD
        envelope.code = self._security.code(*_said(envelope))
        return envelope

    def check_request(self, envelope: pb.Envelope, impostor: Impostor = _nobody) -> NodeId:
        """The sender of anything but Hello. Raises Mismatch, Rejected (malformed).

        impostor: why whoever calls cannot be that sender, whatever the envelope says; or nothing.
        """
        own, sender = self._own, envelope.sender
        if (
            envelope.cluster == own.cluster
            and envelope.addressee == own.node
            and envelope.addressee_incarnation == own.incarnation
            and sender != own.node
        ):
            expected = self._expected(sender)
            if expected is not None and envelope.sender_incarnation == expected:
                self._prove(envelope)
                _refuse_impostor(impostor(sender))
                self._one_process(envelope)
                return sender
        raise self._why(envelope, "")

    def check_hello(self, envelope: pb.Envelope, impostor: Impostor = _nobody) -> NodeId:
        """As check_request, but any incarnation of the sender will do: the core judges that."""
        self._well_formed(envelope)
        if envelope.cluster == self._own.cluster and self._addressed(envelope, may_be_empty=True):
            self._prove(envelope)
            _refuse_impostor(impostor(envelope.sender))
            self._same_process(envelope)
            return envelope.sender
        raise self._why(envelope, envelope.sender_incarnation)

    def check_reply(self, envelope: pb.Envelope, peer: NodeId) -> None:
        """Raises Mismatch unless this is the recorded incarnation of `peer` answering this node."""
        own = self._own
        if (
            envelope.sender == peer
            and envelope.cluster == own.cluster
            and envelope.addressee == own.node
            and envelope.addressee_incarnation == own.incarnation
            and envelope.sender_incarnation == self._expected(peer)
        ):
            self._prove(envelope)
            self._one_process(envelope)
            return
        if envelope.sender != peer:
            raise _elsewhere(envelope, peer)
        raise self._why(envelope, "")

    def check_hello_reply(self, envelope: pb.Envelope, peer: NodeId) -> None:
        """As check_reply, but any incarnation of `peer` will do."""
        self._well_formed(envelope)
        if envelope.sender != peer:
            raise _elsewhere(envelope, peer)
        if envelope.cluster != self._own.cluster or not self._addressed(
            envelope, may_be_empty=False
        ):
            raise self._why(envelope, envelope.sender_incarnation)
        self._prove(envelope)
        self._same_process(envelope)

    def _same_process(self, hello: pb.Envelope) -> None:
        """As `_one_process`. Another incarnation is no copy: the core judges that."""
        if hello.sender_incarnation == self._expected(hello.sender):
            self._one_process(hello)

    def _one_process(self, envelope: pb.Envelope) -> None:
        """Raises Mismatch for the second of two processes that run as one node."""
        sender, life = envelope.sender, envelope.sender_life
        if self._lives.refuses(sender, life):
            raise Mismatch(
                TWINS.format(node=sender),
                hint="another process runs as this node, with a copy of its data directory: stop "
                "one of them and start the other one again; ",
            )

    def _prove(self, envelope: pb.Envelope) -> None:
        """Raises Mismatch when the other side cannot know the cluster's secret."""
        security = self._security
        if not security.secret:
            return
        said = _said(envelope)
        if self._proven.get(said) == envelope.code != b"":
            return
        if not security.convinced_by(envelope.code, *said):
            without = "without the cluster's secret" if not envelope.code else "with another secret"
            raise Mismatch(
                f"a message from {_shown(envelope.sender)} {without}: cluster_secret_file must "
                "hold the same on every node"
            )
        if envelope.code and len(self._proven) < REMEMBERED_MAX:
            self._proven[said] = envelope.code

    def _addressed(self, envelope: pb.Envelope, may_be_empty: bool) -> bool:
        own, incarnation = self._own, envelope.addressee_incarnation
        return (
            envelope.addressee == own.node
            and envelope.sender != own.node
            and (incarnation == own.incarnation or (may_be_empty and not incarnation))
        )

    def _well_formed(self, envelope: pb.Envelope) -> None:
        check_node_id("envelope.sender", envelope.sender)
        check_incarnation("envelope.sender_incarnation", envelope.sender_incarnation)

    def _why(self, envelope: pb.Envelope, accepted_incarnation: str) -> Exception:
        try:
            self._well_formed(envelope)
        except Rejected as error:
            return error
        own, sender = self._own, envelope.sender
        if envelope.cluster != own.cluster:
            return Mismatch(
                f"{sender} is of cluster {_shown(envelope.cluster)}, {own.node} of {own.cluster}: "
                + ONE_CLUSTER,
                hint=f"another cluster: {ONE_CLUSTER}; ",
            )
        if sender == own.node:
            return Mismatch(
                f"a message from {sender} to itself: two nodes have this id, or an address is wrong"
            )
        if envelope.addressee != own.node:
            return Mismatch(
                f"{sender} looks for {_shown(envelope.addressee)} and found {own.node}: "
                "check the peer addresses"
            )
        if envelope.addressee_incarnation != own.incarnation:
            return Mismatch(
                f"{sender} knows {own.node} as {_shown(envelope.addressee_incarnation)}, "
                f"this is {own.incarnation}: its data directory was replaced"
            )
        expected = self._expected(sender)
        if expected is None and not accepted_incarnation:
            return Mismatch(f"{own.node} has not met {sender} yet: Hello comes first")
        return Mismatch(
            f"{sender} has incarnation {_shown(envelope.sender_incarnation)}, {own.node} recorded "
            f"{_shown(expected or '')}: its data directory was replaced; bring back the old one or "
            "use a new id"
        )


def _refuse_impostor(why: str) -> None:
    """Before anything is remembered of the sender: an impostor's process is not one of its own."""
    if why:
        raise Mismatch(why)


def _elsewhere(envelope: pb.Envelope, peer: NodeId) -> Mismatch:
    sender = envelope.sender
    plain = len(sender) <= 64 and sender.isprintable()
    found = (sender if plain else _shown(sender)) or "a node without a name"
    return Mismatch(f"{found} answered at the address of {peer}: check the peer addresses")


def _said(envelope: pb.Envelope) -> tuple[str, ...]:
    """The fields that the code of an envelope speaks for."""
    return (
        envelope.cluster,
        envelope.sender,
        envelope.sender_incarnation,
        envelope.addressee,
        envelope.addressee_incarnation,
    )


def _shown(text: str) -> str:
    return repr(text[:64])
