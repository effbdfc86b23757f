"""raftctl member: who is in the cluster, and changing that while it runs."""

from __future__ import annotations

from argparse import Namespace

from raftd.cli.raftctl_output import show_json, show_table
from raftd.client import Client
from raftd.client.delivery.nodes import NodeStatus

YES = 0


def run(args: Namespace, client: Client) -> int:
    """Any action."""
    if args.action == "list":
        return _list(args, client)
    done = client.change_member(
        args.action,
        args.id,
        getattr(args, "peer", ""),
        getattr(args, "client", ""),
        by=getattr(args, "by", ""),
        force=getattr(args, "force", False),
        timeout=args.timeout,
    )
    if args.output == "json":
        show_json(
            {"action": args.action, "id": args.id, "index": done.log_index, "term": done.term}
        )
    else:
        print(f"ok: {args.action} {args.id} is committed at {done.log_index}")
    return YES


def _list(args: Namespace, client: Client) -> int:
    status = client.status()
    leader = _leader_address(status)
    if leader:
        status = client.status(leader)  # who leads knows how far the others are
    rows = _rows(status)
    if args.output == "json":
        show_json({"leader_id": status.leader_id, "term": status.term, "members": rows})
    else:
        header = ("ID", "ROLE", "PEER", "CLIENT", "LAG", "CONTACT")
        show_table(header, [[_shown(key, value) for key, value in row.items()] for row in rows])
    return YES


def _rows(status: NodeStatus) -> list[dict[str, object]]:
    own: dict[str, object] = {
        "id": status.node_id,
        "role": _role(status, status.node_id, voter=status.voter),
        "peer_address": status.peer_address,
        "client_address": status.client_address,
        "lag": 0,
        "contact_age_seconds": 0.0,
    }
    others: list[dict[str, object]] = [
        {
            "id": peer.id,
            "role": _role(status, peer.id, voter=peer.voter),
            "peer_address": peer.peer_address,
            "client_address": peer.client_address,
            "lag": peer.lag if status.role == "leader" else None,
            "contact_age_seconds": peer.contact_age,
        }
        for peer in status.peers
    ]
    return sorted([own, *others], key=lambda row: str(row["id"]))


def _leader_address(status: NodeStatus) -> str:
    """Where another node that leads takes clients; empty if this one leads, or nobody is known to.

    A node that has just heard of its leader may know its address from the configuration only.
    """
    if status.leader_id in ("", status.node_id):
        return ""
    known = [peer.client_address for peer in status.peers if peer.id == status.leader_id]
    return status.leader_address or next(iter(known), "")


def _role(status: NodeStatus, node_id: str, *, voter: bool) -> str:
    if node_id == status.leader_id:
        return "leader"
    return "voter" if voter else "learner"


def _shown(key: str, value: object) -> object:
    if key == "contact_age_seconds" and isinstance(value, float):
        return f"{value:.1f} s ago"
    return value
