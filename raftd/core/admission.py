"""Who is who: Hello, the incarnations on record, and when a node may take part.

A node that lost its disk may have voted in a term that it no longer remembers (dissertation 3.8),
so an empty directory gets a random *incarnation*, and a node takes part only once it is *admitted*:
a majority of the other voters has durably recorded its incarnation. A wiped node comes back with
another one, which the recorders refuse; among any majority of the others at least one recorded the
first, so it can never be admitted. Recording is a promise and is gated like a vote.

A node that joins a running cluster is added under its incarnation, which stands in the
configuration that adds it: once that is committed a majority holds it, and the node is admitted.
"""

from __future__ import annotations

from raftd.core import contact, membership, roles
from raftd.core.effects import Effects, Token
from raftd.core.events import EventKind
from raftd.core.messages import Channel, HelloReply, HelloRequest
from raftd.core.state import State
from raftd.core.types import Identity, Incarnation, NodeId
from raftd.core.underway import Greeting

HELLO_DELAY_MAX = 1.0
"""Seconds between two tries to greet a peer that does not answer."""


STRANGERS_MAX = 1024
"""Nodes that are taken for whom they say they are: past it, only members."""

INCARNATION_SHOWN = 4
"""Characters of an incarnation that logs, events and status show: whoever knows all of them can
speak in that node's name.
"""


def greeting_of(s: State, peer: NodeId) -> Greeting:
    """How far Hello with `peer` is."""
    greeting = s.greetings.get(peer)
    if greeting is None:
        greeting = s.greetings[peer] = Greeting()
    return greeting


def hello_due(s: State, peer: NodeId, now: float) -> bool:
    """Is a Hello owed to `peer` now?"""
    if not greeting_wanted(s, peer) or not s.configuration.is_member(peer):
        return False
    greeting = greeting_of(s, peer)
    return not greeting.inflight and now >= greeting.next_at


def wake_ungreeted(s: State, fx: Effects, now: float) -> None:
    """Time has passed: a Hello may be due to some peer."""
    for peer in s.peers():
        if hello_due(s, peer, now):
            fx.wake[(peer, Channel.CONTROL)] = None


def greeting_wanted(s: State, peer: NodeId) -> bool:
    """Until it has answered since this process started, and as long as its record of us lacks."""
    greeting = s.greetings.get(peer)
    if greeting is None or not greeting.done:
        return True
    return not s.admitted and peer not in s.recorded_by


def make_hello(s: State, peer: NodeId, now: float) -> HelloRequest:
    """Call it only when `hello_due`."""
    greeting_of(s, peer).inflight = True
    return HelloRequest(s.identity, record_of(s, peer), number=s.next_number(), pulled_at=now)


def on_hello(s: State, fx: Effects, request: HelloRequest, now: float, token: Token) -> None:
    """Record the caller, or refuse another incarnation under a recorded id. Needs no admission."""
    refused = _record(s, fx, request.identity, now)
    removed = _was_removed(s, request.identity)
    if not refused:
        _recorded_by(s, fx, request.identity.node, request.records, now)
        _greet_back(s, fx, request.identity.node, now)

    def make() -> HelloReply:
        records = () if refused else record_of(s, request.identity.node)
        return HelloReply(s.identity, records, refused, request.number, removed)

    recorded = s.pending_records[-1][0] if s.pending_records else 0
    s.hold_late(fx, token, recorded, make, survives_term=True)


def _greet_back(s: State, fx: Effects, peer: NodeId, now: float) -> None:
    """It is there: what waited because it was not need wait no longer.

    The first of three nodes to start took part a second after the others, who led and answered
    clients by then: one of them died, and there was no majority of those who take part.
    """
    greeting = greeting_of(s, peer) if s.configuration.is_member(peer) else None
    if greeting is None or greeting.refused or not greeting_wanted(s, peer):
        return  # who has refused us will again: no sooner than it would be asked anyway
    greeting.delay, greeting.next_at = 0.0, min(greeting.next_at, now)
    if not greeting.inflight:
        fx.wake[(peer, Channel.CONTROL)] = None


def _was_removed(s: State, identity: Identity) -> bool:
    """Only that very node is told so, by this very node: it would end a stranger's victim."""
    known = s.incarnations.get(identity.node)
    return known == identity.incarnation and identity.node in membership.committed(s).retired


def greet_again(s: State) -> None:
    """Nobody is heard, and this node does not campaign: does anybody still know it?"""
    for greeting in s.greetings.values():
        greeting.done = False


def on_hello_reply(s: State, fx: Effects, peer: NodeId, reply: HelloReply, now: float) -> None:
    """Record who answered; if it recorded us, too, we may be admitted.

    Nothing is kept of a peer that is no member any more: a refusal of its would be shown for ever.
    """
    if reply.removed and s.incarnations.get(peer) == reply.identity.incarnation:
        roles.note_removed(s, fx, now, f"{peer} says so")
    if not s.configuration.is_member(peer):
        return
    greeting = greeting_of(s, peer)
    greeting.inflight = False
    if reply.refused:
        if greeting.refused != reply.refused:
            s.event(fx, EventKind.REFUSED, reply.refused, peer)
        greeting.refused = reply.refused
        _greet_later(s, greeting, now)
        return
    refused = _record(s, fx, reply.identity, now)
    if refused:
        _greet_later(s, greeting, now)
        return
    greeting.done, greeting.refused, greeting.delay = True, "", 0.0
    greeting.next_at = now + s.settings.hello_retry
    _recorded_by(s, fx, peer, reply.records, now)
    s.wake_all(fx, Channel.CONTROL, Channel.APPEND)


def on_hello_lost(s: State, peer: NodeId, now: float) -> None:
    """No answer will come: greet again later, and ever less often."""
    greeting = s.greetings.get(peer)
    if greeting is not None:  # else it was removed meanwhile
        greeting.inflight = False
        _greet_later(s, greeting, now)


def _greet_later(s: State, greeting: Greeting, now: float) -> None:
    greeting.delay = min(HELLO_DELAY_MAX, max(s.settings.hello_retry, greeting.delay * 2))
    greeting.next_at = now + greeting.delay


def _record(s: State, fx: Effects, identity: Identity, now: float) -> str:
    """Returns the refusal, or an empty string.

    The first incarnation heard for an id stands for ever.
    """
    node, incarnation = identity.node, identity.incarnation
    if node == s.me:
        return f"two nodes call themselves {node!r}: give each its own node id"
    if node in membership.committed(s).retired:
        return f"node {node!r} was removed from this cluster, and an id is used once"
    known = s.incarnations.get(node)
    if known == incarnation and s.records.get(node) == incarnation:
        return ""
    if known not in (None, incarnation):
        s.event(
            fx,
            EventKind.REFUSED,
            f"{node} came with incarnation {shortened(incarnation)}, "
            f"recorded is {shortened(known)}",
            node,
        )
        return (
            f"node {node!r} is recorded here with another incarnation: its data directory was lost "
            "or replaced, or a second node runs under its id. Bring the old directory back, or "
            "start it with `join` under a new id, and then `raftctl member replace`"
        )
    if s.configuration.voters and not s.configuration.is_member(node):
        if not _may_be_behind(s, now):
            return f"node {node!r} is in no configuration here: add it to the cluster first"
        if len(s.incarnations) < STRANGERS_MAX:
            s.incarnations[node] = incarnation
        return ""
    s.records[node] = s.incarnations[node] = incarnation
    s.write(fx, now, records=((node, incarnation),))
    s.event(fx, EventKind.RECORDED, f"incarnation {shortened(incarnation)}", node)
    return ""


def _may_be_behind(s: State, now: float) -> bool:
    """Without a leader nobody brings this node's configuration up to date, and one whom it does not
    know may be the only one that can lead (dissertation 4.1). That is no promise: not recorded.
    """
    return s.may_vote and not contact.leader_is_alive(s, now)


def greet_anew(s: State, peer: NodeId, now: float) -> None:
    """It did not answer. It may have started anew, and not know this node any more."""
    greeting = s.greetings.get(peer)
    if greeting is not None and greeting.done:
        greeting.done = False
        _greet_later(s, greeting, now)


def _recorded_by(
    s: State,
    fx: Effects,
    peer: NodeId,
    records: tuple[tuple[NodeId, Incarnation], ...],
    now: float,
) -> None:
    """Does `peer` hold us to our incarnation? A majority of the other voters admits us."""
    if s.admitted or (s.me, s.identity.incarnation) not in records:
        return
    if not s.configuration.is_member(peer):
        return
    s.recorded_by.add(peer)
    admit_if_recorded(s, fx, now)


def admit_if_recorded(s: State, fx: Effects, now: float) -> None:
    """A majority of the other voters is needed; alone, a node admits itself."""
    if s.admitted or s.joins:
        return
    if not s.configuration.has_majority_besides(s.me, s.recorded_by):
        return
    s.admitted = True
    others = s.configuration.voters_besides(s.me)
    have = sum(voter in s.recorded_by for voter in others)
    s.admitted_seq = s.write(fx, now, admitted=True)
    s.event(fx, EventKind.ADMITTED, f"recorded by {have} of {len(others)} other voters")


def admit_if_joined(s: State, fx: Effects, now: float) -> None:
    """A majority holds the entry that adds this node, and with it this very incarnation."""
    agreed = s.configuration.member(s.me).incarnation
    if s.admitted or not s.joins or agreed != s.identity.incarnation:
        return
    s.admitted = True
    s.admitted_seq = s.write(fx, now, admitted=True)
    s.event(fx, EventKind.ADMITTED, f"the cluster has added it: {s.configuration}")


def waiting_for(s: State) -> tuple[NodeId, ...]:
    """The voters that have not recorded this node; none once it is admitted, or if it joins."""
    if s.admitted or s.joins:
        return ()
    return tuple(v for v in s.configuration.voters_besides(s.me) if v not in s.recorded_by)


def refused_by(s: State) -> tuple[tuple[NodeId, str], ...]:
    """Who answered this node's Hello with a refusal, and why."""
    return tuple(
        (peer, greeting.refused) for peer, greeting in s.greetings.items() if greeting.refused
    )


def record_of(s: State, node: NodeId) -> tuple[tuple[NodeId, Incarnation], ...]:
    """What `node` may be shown: its own record, and only a durable one, for it is a promise.

    The others' would help whoever wants to speak in their names.
    """
    found = s.durable_records.get(node)
    return () if found is None else ((node, found),)


def shortened(incarnation: Incarnation) -> str:
    """For people: enough to tell two apart, too little to speak in that node's name."""
    return f"{incarnation[:INCARNATION_SHOWN]}..."
