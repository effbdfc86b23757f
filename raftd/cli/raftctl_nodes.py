"""raftctl's questions to nodes: status, health, events, snapshot, transfer."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TypeVar

from raftd.cli.raftctl_output import show_json, show_table
from raftd.client import Client, RaftdError, Refused
from raftd.client.delivery.nodes import NodeStatus, health_at, snapshot_at, status_at

YES = 0
NO = 1
NOT_DONE = 3
Report = TypeVar("Report")


def status(args: Namespace, client: Client) -> int:
    reports = client.ask_each(status_at)
    nodes = [report for report in reports.values() if isinstance(report, NodeStatus)]
    commit = max((node.commit_index for node in nodes), default=0)
    if args.output == "json":
        show_json({"nodes": [_status_json(*item, commit) for item in reports.items()]})
    else:
        header = ("ENDPOINT", "ID", "ROLE", "TERM", "COMMIT", "APPLIED", "LAG", "LEADER", "HEALTH")
        show_table(header, [_status_row(*item, commit) for item in reports.items()])
    return YES if nodes else NOT_DONE


def _status_row(endpoint: str, report: NodeStatus | RaftdError, commit: int) -> tuple[object, ...]:
    if isinstance(report, RaftdError):
        role = "refused" if isinstance(report, Refused) else "unreachable"
        told = report.message.removeprefix(f"{endpoint}: ")
        return endpoint, None, role, None, None, None, None, None, told
    health = "ok" if report.healthy else "; ".join(report.problems) or "not healthy"
    return (
        endpoint,
        report.node_id,
        report.role,
        report.term,
        report.commit_index,
        report.applied_index,
        max(0, commit - report.applied_index),
        report.leader_id,
        health,
    )


def _status_json(endpoint: str, report: NodeStatus | RaftdError, commit: int) -> dict[str, object]:
    if isinstance(report, RaftdError):
        return {"endpoint": endpoint, "reachable": False, "error": report.message}
    fields: dict[str, object] = {"endpoint": endpoint, "reachable": True}
    fields.update(report._asdict())
    fields["peers"] = [peer._asdict() for peer in report.peers]
    fields["lag"] = max(0, commit - report.applied_index)
    return fields


def health(args: Namespace, client: Client) -> int:
    reports = client.ask_each(health_at)
    words = {
        endpoint: report.message if isinstance(report, RaftdError) else _serves(report)
        for endpoint, report in reports.items()
    }
    if args.output == "json":
        rows = [
            {"endpoint": endpoint, "serving": report is True, "detail": words[endpoint]}
            for endpoint, report in reports.items()
        ]
        show_json({"nodes": rows})
    else:
        show_table(("ENDPOINT", "HEALTH"), list(words.items()))
    if all(isinstance(report, RaftdError) for report in reports.values()):
        return NOT_DONE
    return YES if all(report is True for report in reports.values()) else NO


def _serves(serving: bool) -> str:
    return "serving" if serving else "not serving: see `raftctl why`"


def snapshot(args: Namespace, client: Client) -> int:
    reports = client.ask_each(snapshot_at, timeout=args.timeout)
    if args.output == "json":
        rows = [
            {"endpoint": endpoint, "error": report.message}
            if isinstance(report, RaftdError)
            else {"endpoint": endpoint, "index": report}
            for endpoint, report in reports.items()
        ]
        show_json({"snapshots": rows})
    else:
        show_table(
            ("ENDPOINT", "SNAPSHOT"),
            [
                (endpoint, report.message if isinstance(report, RaftdError) else f"index {report}")
                for endpoint, report in reports.items()
            ],
        )
    return _some_done(reports)


def _some_done(reports: Mapping[str, Report | RaftdError]) -> int:
    failed = sum(isinstance(report, RaftdError) for report in reports.values())
    if failed == len(reports):
        return NOT_DONE
    return NO if failed else YES


def transfer(args: Namespace, client: Client) -> int:
    done = client.transfer(args.target)
    if args.output == "json":
        show_json({"leader_id": done.leader_id, "term": done.term})
    else:
        print(f"ok: {done.leader_id or 'nobody yet'} leads in term {done.term}")
    return YES


def events(args: Namespace, client: Client) -> int:
    """Until the node ends the stream, or an interrupt."""
    last = 0
    for event in client.events(client.endpoints[0], from_start=args.from_start):
        if args.output == "json":
            show_json(event._asdict())
        else:
            if last and event.number > last + 1:
                print(f"({event.number - last - 1} events lost: this reader was too slow)")
            about = [f"term {event.term}", event.role]
            about += [f"leader {event.leader_id}"] if event.leader_id else []
            about += [f"peer {event.peer}"] if event.peer else []
            about += [event.detail] if event.detail else []
            print(
                f"{event.number} {event.seconds:.3f} {event.kind}: {', '.join(about)}", flush=True
            )
        last = event.number
    return YES
