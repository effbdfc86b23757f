"""raftctl's log-level."""

from __future__ import annotations

from argparse import Namespace

from raftd.cli.raftctl_output import show_json, show_table
from raftd.client import Client, RaftdError
from raftd.client.delivery.nodes import log_level_at

DONE = 0
NOT_DONE = 3


def log_level(args: Namespace, client: Client) -> int:
    """Set, or without a level show, what every endpoint logs."""
    reports = client.ask_each(log_level_at(args.logger, args.level), timeout=args.timeout)
    failed = [report for report in reports.values() if isinstance(report, RaftdError)]
    if args.output == "json":
        rows = [
            {"endpoint": endpoint, "error": report.message}
            if isinstance(report, RaftdError)
            else {"endpoint": endpoint, "level": report}
            for endpoint, report in reports.items()
        ]
        show_json({"logger": args.logger, "levels": rows})
    else:
        rows_shown = [
            (endpoint, report.message if isinstance(report, RaftdError) else report)
            for endpoint, report in reports.items()
        ]
        show_table(("ENDPOINT", "LEVEL"), rows_shown)
    return NOT_DONE if len(failed) == len(reports) else DONE
