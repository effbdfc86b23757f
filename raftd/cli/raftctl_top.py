"""`raftctl top`: the cluster in a terminal, once a second: roles, lag, rates, what has changed."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from argparse import Namespace
from collections import deque
from collections.abc import Mapping

from raftd.client import Client
from raftd.client.delivery.nodes import NodeStatus, status_at
from raftd.client.diagnosis import explain
from raftd.client.errors import RaftdError

Reports = Mapping[str, NodeStatus | RaftdError]

YES = 0
NEWS_MAX = 10
BAR_CELLS = 10
BAR_ENTRIES = 1000
"""A bar is full when a node lacks so many entries, or more."""
NARROW = 40

HEADER = f"{'ID':<8} {'ROLE':<13} {'TERM':>6} {'COMMIT':>10} {'LAG':>7} {'':<{BAR_CELLS}} HEALTH"

CLEAR, HIDE, UNHIDE, BOLD, PLAIN = "\x1b[H\x1b[2J", "\x1b[?25l", "\x1b[?25h", "\x1b[1m", "\x1b[0m"


def top(args: Namespace, client: Client) -> int:
    """Until an interrupt; once, if asked to or if nobody could see it change."""
    live = sys.stdout.isatty() and not args.once
    board = Board()
    try:
        if live:
            sys.stdout.write(HIDE)
        while True:
            began = time.monotonic()
            board.take(client.ask_each(status_at, timeout=args.timeout), began)
            width = max(NARROW, shutil.get_terminal_size().columns)
            lines = board.lines(width)
            if not live:
                print("\n".join(lines))
                return YES
            sys.stdout.write(f"{CLEAR}{BOLD}{lines[0]}{PLAIN}\n" + "\n".join(lines[1:]) + "\n")
            sys.stdout.flush()
            time.sleep(max(0.0, args.every - (time.monotonic() - began)))
    except KeyboardInterrupt:
        return YES
    finally:
        if live:
            sys.stdout.write(UNHIDE)


class Board:
    """What is shown. One thread; no I/O."""

    def __init__(self) -> None:
        self._reports: Reports = {}
        self._at = 0.0
        self._entries_per_second = 0.0
        self._news: deque[str] = deque(maxlen=NEWS_MAX)

    def take(self, reports: Reports, now: float) -> None:
        """What each endpoint answered at `now`, in seconds."""
        if self._reports:
            grown = _commit(reports) - _commit(self._reports)
            self._entries_per_second = max(0.0, grown / max(now - self._at, 1e-6))
            for endpoint, report in reports.items():
                change = _change(self._reports.get(endpoint), report)
                if change:
                    self._news.appendleft(f"{time.strftime('%H:%M:%S')} {endpoint} {change}")
        self._reports, self._at = reports, now

    def lines(self, width: int) -> list[str]:
        """At most `width` characters each, the title first."""
        nodes = [one for one in self._reports.values() if isinstance(one, NodeStatus)]
        leaders = [node for node in nodes if node.role == "leader"]
        leader = max(leaders, key=lambda node: node.term, default=None)
        lines = [
            f"raftd  {len(nodes)} of {len(self._reports)} answer  "
            f"leader {leader.node_id if leader else '-'}  "
            f"term {max((node.term for node in nodes), default=0)}  "
            f"{self._entries_per_second:.0f} entries/s",
            "",
            HEADER,
        ]
        commit = _commit(self._reports)
        lines += [_row(endpoint, report, commit) for endpoint, report in self._reports.items()]
        lines.append("")
        for sentence in explain(self._reports).sentences:
            lines += textwrap.wrap(sentence, width, subsequent_indent="  ")
        if self._news:
            lines += ["", *self._news]
        return [line if len(line) <= width else f"{line[: width - 3]}..." for line in lines]


def _commit(reports: Reports) -> int:
    nodes = (one for one in reports.values() if isinstance(one, NodeStatus))
    return max((node.commit_index for node in nodes), default=0)


def _row(endpoint: str, report: NodeStatus | RaftdError, commit: int) -> str:
    if isinstance(report, RaftdError):
        return f"{'-':<8} {'unreachable':<13} {'':>6} {'':>10} {'':>7} {'':<{BAR_CELLS}} {endpoint}"
    lag = max(0, commit - report.applied_index)
    health = "ok" if report.healthy else "; ".join(report.problems) or "not healthy"
    return (
        f"{report.node_id:<8} {report.role:<13} {report.term:>6} {report.commit_index:>10} "
        f"{lag:>7} {bar(lag):<{BAR_CELLS}} {health}"
    )


def bar(lag: int) -> str:
    """Full at BAR_ENTRIES; one cell at least for whoever lacks anything."""
    cells = -(-min(lag, BAR_ENTRIES) * BAR_CELLS // BAR_ENTRIES)
    return "#" * cells


def _change(before: NodeStatus | RaftdError | None, now: NodeStatus | RaftdError) -> str:
    """What is new since the last look; empty if nothing is."""
    if isinstance(now, RaftdError):
        return "" if isinstance(before, RaftdError) else "cannot be reached any more"
    if not isinstance(before, NodeStatus):
        return f"({now.node_id}) answers"
    if (before.role, before.term) != (now.role, now.term):
        leads = "leads" if now.role == "leader" else f"is {now.role}"
        return f"({now.node_id}) {leads} in term {now.term}"
    if before.leader_id != now.leader_id:
        return f"({now.node_id}) follows {now.leader_id or 'nobody'}"
    return ""
