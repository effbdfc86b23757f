"""What nodes tell of each other: who lacks entries, who does not answer, whom others refuse."""

from __future__ import annotations

from raftd.client.delivery.nodes import NodeStatus, Peer
from raftd.wire.refusals import DOES_NOT_ANSWER, REFUSED_BY, is_silence_of

BEHIND_ENTRIES = 1000
"""A follower that lacks more than this is worth a sentence."""
SILENT_SECONDS = 5.0
UNREACHED_SECONDS = 2.0
"""A leader does not reach a node, which answers whoever asks here."""


def turned_away(nodes: list[NodeStatus]) -> list[str]:
    """Whom other members will not know, and why: its network is all right."""
    return [
        f"{', '.join(peers)} {'refuses' if len(peers) == 1 else 'refuse'} {node.node_id}: {why}."
        for node in nodes
        for why, peers in refusals(node).items()
    ]


def refusals(node: NodeStatus) -> dict[str, list[str]]:
    """What is said to the node, and by whom."""
    found: dict[str, list[str]] = {}
    for problem in node.problems:
        if problem.startswith(f"{REFUSED_BY} "):
            peer, _, why = problem.removeprefix(f"{REFUSED_BY} ").partition(": ")
            found.setdefault(why, []).append(peer)
    return found


def behind(nodes: list[NodeStatus]) -> list[str]:
    commit = max(node.commit_index for node in nodes)
    sentences = [
        f"{node.node_id} is {commit - node.commit_index} entries behind."
        for node in nodes
        if commit - node.commit_index > BEHIND_ENTRIES
    ]
    for leader in (node for node in nodes if node.role == "leader"):
        sentences += [told for peer in leader.peers if (told := _lacking(leader, peer, nodes))]
    return sentences


def _lacking(leader: NodeStatus, peer: Peer, nodes: list[NodeStatus]) -> str:
    """What a leader sees of one other member; empty if that is all right."""
    if any(node.node_id == peer.id and refusals(node) for node in nodes):
        return ""  # told already
    if _is_silent(peer, nodes):
        return _silence(leader, peer, nodes)
    sending = f"is being sent a snapshot by {leader.node_id}." if peer.mode == "snapshot" else ""
    if peer.lag <= BEHIND_ENTRIES:
        return f"{peer.id} {sending}" if sending else ""
    what = peer.id if peer.voter else f"{peer.id}, a learner,"
    lacks = f"{what} lacks {peer.lag} entries of {leader.node_id}'s log"
    if sending:
        return f"{lacks}, and {sending} If that lasts, its disk or the network is too slow."
    return f"{lacks}: its disk, its machine or the network is too slow for what is written."


def _silence(leader: NodeStatus, peer: Peer, nodes: list[NodeStatus]) -> str:
    """The network is suspected only where the leader knows nothing better: a wrong secret, say."""
    why = [problem for problem in leader.problems if is_silence_of(peer.id, problem)]
    reason = next((problem for problem in why if DOES_NOT_ANSWER in problem), "")
    if _answers(peer, nodes):
        told = reason.partition(": ")[2]
        network = "look at the network from the one to the other, and at the addresses of peers."
        where = f"{leader.node_id} does not reach {peer.id} at {peer.peer_address}"
        return f"{where}, which answers here: {told or network}"
    silence = f"{leader.node_id} has not heard from {peer.id} for {age(peer.contact_age):.1f} s"
    return f"{silence}: {reason}" if reason else f"{silence}."


def _is_silent(peer: Peer, nodes: list[NodeStatus]) -> bool:
    seconds = UNREACHED_SECONDS if _answers(peer, nodes) else SILENT_SECONDS
    return age(peer.contact_age) >= seconds


def _answers(peer: Peer, nodes: list[NodeStatus]) -> bool:
    """Whoever asks here."""
    return any(node.node_id == peer.id for node in nodes)


def is_told(node: NodeStatus, problem: str, nodes: list[NodeStatus]) -> bool:
    """Have `behind` or `turned_away` said it?"""
    if problem.startswith(f"{REFUSED_BY} "):
        return True
    return node.role == "leader" and any(
        is_silence_of(peer.id, problem) and _is_silent(peer, nodes) for peer in node.peers
    )


def age(seconds: float | None) -> float:
    """Without end for a peer that was never heard."""
    return float("inf") if seconds is None else seconds
