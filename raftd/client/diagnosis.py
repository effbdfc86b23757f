"""What the nodes' own reports, put together, say about the state of the cluster.

`raftctl why` prints it; whatever else shows a cluster can say the same in the same words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from raftd.client.delivery.nodes import NodeStatus
from raftd.client.errors import RaftdError, Refused
from raftd.client.neighbours import SILENT_SECONDS, age, behind, is_told, refusals, turned_away
from raftd.wire.refusals import believes_nobody_yet

GONE = "If a majority is gone for good: `raftd recover`, docs/backup.md"
CLOCK_SECONDS = 5.0
"""By so much clocks differ that are not set by anybody: an answer may take a second or two."""


class Diagnosis(NamedTuple):
    """well: there is a leader with a majority, and nothing to tell but that.

    sentences: the most important first; never empty.
    """

    well: bool
    sentences: list[str]


def explain(
    reports: Mapping[str, NodeStatus | RaftdError], out_of_sight: Collection[str] = ()
) -> Diagnosis:
    """Put together what the nodes report of themselves. Pure: any thread, no I/O.

    reports: what each endpoint answered, or why it did not. out_of_sight: addresses that members
    advertise and that cannot be reached from here; that says nothing of the members, which may be
    meant for another network.
    """
    nodes = [report for report in reports.values() if isinstance(report, NodeStatus)]
    sentences = _unreached(reports, nodes)
    if not nodes:
        advice = "No node answered: check the endpoints, and that the daemons run."
        if any(isinstance(report, Refused) for report in reports.values()):
            advice = "Nodes run, and told nothing: name a user with the role root (--user)."
        elif any(map(_believes_nobody_yet, reports.values())):
            advice = (
                "A node that was started again believes nobody before it follows a leader, which "
                f"needs a majority of the voters: start the others. {GONE}. Ask on its own "
                "machine, at a loopback address, for more."
            )
        return Diagnosis(False, [*sentences, advice])
    too_few = _too_few(nodes, len(reports), len(reports) + len(out_of_sight))
    sentences += too_few + _strangers(nodes) + turned_away(nodes) + _waiting(nodes)
    sentences += _leadership(nodes, len(reports), hopeless=bool(too_few))
    sentences += behind(nodes) + _clocks(nodes) + _problems(nodes)
    unseen = _versions(nodes) + _unseen(nodes, out_of_sight)
    leader = max(nodes, key=lambda node: (node.role == "leader", bool(node.leader_id), node.term))
    if sentences or not (leader.leader_id or leader.role == "leader"):
        return Diagnosis(False, sentences + unseen)
    asked = len(reports) + len(out_of_sight)
    name = leader.node_id if leader.role == "leader" else leader.leader_id
    well = (
        f"All is well: {name} leads in term {leader.term}, {len(nodes)} of {asked} members asked "
        f"have answered, commit index {leader.commit_index}."
    )
    return Diagnosis(True, [well, *unseen])


def _unreached(
    reports: Mapping[str, NodeStatus | RaftdError], nodes: list[NodeStatus]
) -> list[str]:
    """Endpoints without an answer, by the names of the members that advertise them."""
    names = {peer.client_address: peer.id for node in nodes for peer in node.peers}
    settled = any(node.leader_id and node.admitted for node in nodes)
    sentences = []
    for endpoint, report in reports.items():
        if not isinstance(report, RaftdError):
            continue
        who = f"{names[endpoint]} at {endpoint}" if endpoint in names else endpoint
        told = report.message.removeprefix(f"{endpoint}: ")
        refused = isinstance(report, Refused) or _believes_nobody_yet(report)
        sentence = f"{who} {'refuses to answer' if refused else 'cannot be reached'}: {told}"
        if settled and endpoint not in names:
            sentence += (
                " (No member advertises this address: if its node was removed, leave it out of the "
                "endpoints.)"
            )
        sentences.append(sentence)
    return sentences


def _believes_nobody_yet(report: NodeStatus | RaftdError) -> bool:
    return isinstance(report, RaftdError) and believes_nobody_yet(report.message)


def _versions(nodes: list[NodeStatus]) -> list[str]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        found.setdefault(node.version, []).append(node.node_id)
    if len(found) < 2:
        return []
    who = "; ".join(f"{version}: {', '.join(sorted(ids))}" for version, ids in found.items())
    return [f"The nodes run {len(found)} versions of raftd ({who}): finish the upgrade."]


def _clocks(nodes: list[NodeStatus]) -> list[str]:
    """Whose wall clock is not that of the others. Two that differ are both named."""
    known = sorted(
        (node.clock_ahead, node.node_id) for node in nodes if node.clock_ahead is not None
    )
    if len(known) < 2:
        return []
    middle = known[(len(known) - 1) // 2][0]
    return [
        f"The clock of {name} is {abs(ahead - middle):.0f} s "
        f"{'ahead of' if ahead > middle else 'behind'} that of the other nodes: certificates, "
        "history_age and the times in logs go by it. Set it right (NTP); elections and leases do "
        "not need it."
        for ahead, name in known
        if abs(ahead - middle) > CLOCK_SECONDS
    ]


def _unseen(nodes: list[NodeStatus], out_of_sight: Collection[str]) -> list[str]:
    names = {peer.client_address: peer.id for node in nodes for peer in node.peers}
    return [
        f"{names.get(address, 'A member')} advertises {address}, which cannot be reached from here."
        for address in sorted(out_of_sight)
    ]


def _strangers(nodes: list[NodeStatus]) -> list[str]:
    clusters = sorted({node.cluster_id for node in nodes})
    if len(clusters) < 2:
        return []
    where = ", ".join(f"{node.endpoint} is in {node.cluster_id}" for node in nodes)
    return [f"These endpoints belong to {len(clusters)} different clusters: {where}."]


def _waiting(nodes: list[NodeStatus]) -> list[str]:
    sentences = []
    for node in nodes:
        if refusals(node):  # told already: this is no first start
            continue
        if node.waiting_for:
            names = ", ".join(node.waiting_for)
            sentences.append(
                f"{node.node_id} is not admitted yet: it waits to be recorded by {names}. "
                "The first start of a cluster needs nearly all of its nodes."
            )
        elif not node.admitted:
            sentences.append(
                f"{node.node_id} has not joined yet: it waits to be taken in (`raftctl member add "
                f"{node.node_id} --peer HOST:PORT`), or for the log."
            )
    return sentences


def _too_few(nodes: list[NodeStatus], named: int, asked: int) -> list[str]:
    """No majority of the voters, by the view of the node with the highest term, has answered.

    named: endpoints that the operator gave or that answered; asked: with those out of sight.
    """
    newest = max(nodes, key=lambda node: node.term)
    voters = {peer.id for peer in newest.peers if peer.voter}
    voters |= {newest.node_id} if newest.voter else set()
    answered = sorted(voters & {node.node_id for node in nodes})
    needed = len(voters) // 2 + 1
    if len(answered) >= needed:
        return []
    names = f"{', '.join(answered)} of the {len(voters)} voters {', '.join(sorted(voters))}"
    if named < len(voters) and newest.leader_id:
        return []
    if asked < len(voters):
        return [f"Of {names} only: give the endpoints of all to know."]
    return [
        f"There is no majority: only {names} answered, and {needed} are needed to elect a leader "
        "and to commit. Nothing can be written, nor read but with --stale, until more are back. "
        f"{GONE}."
    ]


def _leadership(nodes: list[NodeStatus], asked: int, hopeless: bool) -> list[str]:
    """No leader, an old one, or one that nobody follows."""
    leaders = [node for node in nodes if node.role == "leader"]
    top = max(node.term for node in nodes)
    if not leaders:
        told = hopeless or _followed(nodes, top) or all(map(refusals, nodes))
        return [] if told else _no_leader(nodes, top, asked)
    newest = max(leaders, key=lambda node: node.term)
    sentences = [
        f"{old.node_id} still believes that it leads in term {old.term}; {newest.node_id} leads in "
        f"term {newest.term}. The older one steps down when it hears of it; it can commit nothing."
        for old in leaders
        if old.term < newest.term
    ]
    if newest.term < top:
        ahead = ", ".join(node.node_id for node in nodes if node.term > newest.term)
        sentences.append(
            f"{newest.node_id} leads in term {newest.term}, but {ahead} is in a later term: "
            "an election is under way."
        )
    voters = [peer for peer in newest.peers if peer.voter]
    heard = [peer for peer in voters if age(peer.contact_age) < SILENT_SECONDS]
    own = int(newest.voter)  # one that is being removed does not count itself
    needed = (len(voters) + own) // 2 + 1
    if len(heard) + own < needed:
        sentences.append(
            f"The leader {newest.node_id} hears from {len(heard)} of {len(voters)} other voters "
            f"and needs {needed - own}: nothing can be committed."
        )
    return sentences


def _followed(nodes: list[NodeStatus], top: int) -> bool:
    """Whether a follower of today's term is in contact with a leader that was not asked."""
    answered = {node.node_id for node in nodes}
    return any(
        node.healthy and node.term == top and node.leader_id and node.leader_id not in answered
        for node in nodes
    )


def _no_leader(nodes: list[NodeStatus], top: int, asked: int) -> list[str]:
    named = sorted({node.leader_id for node in nodes if node.leader_id and node.term == top})
    missing = [name for name in named if name not in {node.node_id for node in nodes}]
    if missing:
        return [
            f"The nodes that answered follow {', '.join(missing)}, which is not among the "
            "endpoints that answered."
        ]
    candidates = [node for node in nodes if "candidate" in node.role]
    if candidates:
        names = ", ".join(f"{node.node_id} (term {node.term})" for node in candidates)
        return [
            f"There is no leader: {names} asks for votes. It needs a majority of the voters, "
            f"itself included; {len(nodes)} of {asked} endpoints answered."
        ]
    return ["There is no leader yet: the followers wait for their election timeouts to pass."]


def _problems(nodes: list[NodeStatus]) -> list[str]:
    """What nodes tell of themselves, less what has been said of each other."""
    return [
        f"{node.node_id} reports: {problem}"
        for node in nodes
        for problem in node.problems
        if not is_told(node, problem, nodes)
    ]
