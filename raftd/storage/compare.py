"""Which of several data directories of one cluster is the most complete?

By the rule of an election: the later last term, then the longer log. It is what `raftd recover`
should be given when a majority is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raftd.storage.report import Report, json_line


def _place(report: Report) -> tuple[int, int]:
    """(last term, last index) of a start from it; nothing is before everything."""
    log = report.log
    return (0, 0) if log is None or report.damage else (log.last_term, log.last_index)


def most_complete(reports: Sequence[Report]) -> list[Report]:
    """Those that nobody has more than; empty if none can be started from, or clusters differ."""
    usable = _usable(reports)
    if len(_clusters(usable)) != 1:
        return []
    best = max(map(_place, usable))
    return [report for report in usable if _place(report) == best]


def _usable(reports: Sequence[Report]) -> list[Report]:
    return [report for report in reports if report.log is not None and not report.damage]


def _clusters(usable: Sequence[Report]) -> list[str]:
    return sorted({report.identity.identity.cluster for report in usable if report.identity})


def comparison_lines(reports: Sequence[Report]) -> Iterator[str]:
    """For people: a line for each, then the verdict."""
    for report in reports:
        term, index = _place(report)
        who = report.identity.identity.node if report.identity else "-"
        state = "damaged" if report.damage else f"last term {term}, last index {index}"
        yield f"compare   {report.root} node={who} {state}"
    best = most_complete(reports)
    if best:
        yield f"verdict   most complete: {', '.join(report.root for report in best)}"
    elif clusters := _clusters(_usable(reports)):
        yield f"verdict   no comparison: they are of different clusters: {', '.join(clusters)}"
    else:
        yield "verdict   no comparison: none is whole"


def comparison_json(reports: Sequence[Report]) -> str:
    """For scripts: the roots of the most complete ones."""
    return json_line("comparison", {"most_complete": [one.root for one in most_complete(reports)]})
