"""The table for people, the JSON for programs, the plot."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.series import WORKS, Figures, median, ratio


@dataclass(frozen=True)
class Verdict:
    """One claim. need: what must be; goal: what is wished for. None: nothing is asked."""

    text: str
    value: float
    unit: str
    need: float | None
    goal: float | None
    more_is_better: bool = True

    def reached(self, mark: float | None) -> bool:
        if mark is None:
            return True
        return self.value >= mark if self.more_is_better else self.value <= mark

    def line(self) -> str:
        word = "missed" if not self.reached(self.need) else "met"
        if word == "met" and self.goal is not None:
            word = "met, goal too" if self.reached(self.goal) else "met, goal not"
        if self.need is None and self.goal is None:
            word = ""
        sign = ">=" if self.more_is_better else "<="
        need = f"{sign} {self.need:g}" if self.need is not None else ""
        goal = f"{sign} {self.goal:g}" if self.goal is not None else ""
        value = f"{self.value:,.{_decimals(self.value)}f} {self.unit}".rstrip()
        return f"{self.text:<64} {value:>16}   {need:<10} {goal:<10} {word}".rstrip()


VERDICT_HEAD = f"{'claim':<64} {'measured':>16}   {'needed':<10} {'goal':<10}"


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2


def series_verdicts(found: Mapping[str, Sequence[Figures]]) -> list[Verdict]:
    """The claims that the rounds can answer; those about an absent peer are left out."""
    verdicts: list[Verdict] = []

    def compare(
        text: str, above: str, below: str, key: str, need: float, goal: float | None
    ) -> None:
        if above in found and below in found:
            value = ratio(found[above], found[below], key)
            verdicts.append(Verdict(text, value, "x", need, goal, key == "rate"))

    compare("1 pipelined puts / etcd, 64 callers", "raftd/bulk", "etcd/put64", "rate", 8, 15)
    compare("1 pipelined puts / etcd, txn of 128", "raftd/bulk", "etcd/txn128", "rate", 1.5, 2.5)
    rate = median(found["raftd/bulk"], "rate")
    verdicts.append(Verdict("1 pipelined puts", rate, "/s", None, 100_000))
    compare("2 64 blocking callers / etcd, 64", "raftd/put64", "etcd/put64", "rate", 1.7, 3)
    compare("2 256 blocking callers / etcd, 256", "raftd/put256", "etcd/put256", "rate", 1.7, 3)
    compare("3 one put at a time, p50 / etcd", "raftd/put1", "etcd/put1", "p50_ms", 1.3, 1.0)
    compare("4 gets, 64 blocking callers / etcd, 64", "raftd/get64", "etcd/get64", "rate", 2, 3)
    compare("4 gets, 64 async callers / etcd, 64", "raftd/aget64", "etcd/get64", "rate", 4, 8)
    if "pysyncobj/put1" in found:
        slower = ratio(found["pysyncobj/put1"], found["raftd/put1"], "p50_ms")
        verdicts.append(
            Verdict("5 one put at a time, p50: PySyncObj / raftd", slower, "x", 50, None)
        )
    compare("5 64 callers / PySyncObj, 64", "raftd/put64", "pysyncobj/put64", "rate", 1, None)
    compare("5 pipelined puts / PySyncObj", "raftd/bulk", "pysyncobj/bulk", "rate", 1, None)
    compare(
        "5 64 blocking callers / PySyncObj, pipelined",
        "raftd/put64", "pysyncobj/bulk", "rate", 1, None,
    )  # fmt: skip
    elections = sum(
        f["elections"] for name, series in found.items() for f in series if "raftd/" in name
    )
    verdicts.append(Verdict("6 elections of raftd while under load", elections, "", 0, 0, False))
    wrong = sum(f.get("wrong", 0) for series in found.values() for f in series)
    checked = sum(f.get("checked", 0) for series in found.values() for f in series)
    verdicts.append(
        Verdict(f"  values that differ, of {checked:,} read back", wrong, "", 0, 0, False)
    )
    return verdicts


def series_table(found: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Medians of the rounds; the rate's lowest and highest in brackets."""
    lines = [
        f"{'':<10} {'':<37} {'':>9} {'':>19} {'':>8} {'':>9}   CPU us per command",
        f"{'side':<10} {'work':<37} {'per s':>9} {'lowest - highest':>19} {'p50 ms':>8} "
        f"{'p99 ms':>9}   {'client':>6} {'leader':>6} {'follower':>8} {'all':>6} {'errors':>7}",
    ]
    for work in WORKS:
        series = found.get(f"{work.side}/{work.name}")
        if not series:
            continue
        rates = sorted(figures["rate"] for figures in series)
        cpu = ""
        if "cpu_us" in series[0]:
            parts = (median(series, f"cpu_us.{part}") for part in _PARTS)
            cpu = "{:>6.0f} {:>6.0f} {:>8.0f} {:>6.0f}".format(*parts)
        span = f"{rates[0]:,.0f} - {rates[-1]:,.0f}"
        errors = sum(figures["errors"] for figures in series)
        lines.append(
            f"{work.side:<10} {work.text:<37} {median(series, 'rate'):>9,.0f} {span:>19} "
            f"{median(series, 'p50_ms'):>8.2f} {median(series, 'p99_ms'):>9.2f}   {cpu:<29} "
            f"{errors:>7}"
        )
    lines.append("a latency of put_many is that of a call with 4,096 puts; of a txn, with 128")
    return lines


_PARTS = ("client", "leader", "follower", "all")


def write_json(path: Path, document: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = [
        {**asdict(v), "met": v.reached(v.need), "goal_met": v.reached(v.goal)} for v in verdicts
    ]
    path.write_text(json.dumps({**document, "verdicts": judged}, indent=1) + "\n")


def write_plot(
    path: Path, found: Mapping[str, Sequence[Figures]], title: str, say: Callable[[str], None]
) -> None:
    """Rates, p50 and CPU time, a bar for each side. Left out (with a line) without matplotlib."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        plots = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        say("no plot: matplotlib is not installed (`make bench` installs it)")
        return
    groups = {
        "pipelined": ("raftd/bulk", "etcd/txn128", "pysyncobj/bulk"),
        "64 callers": ("raftd/put64", "etcd/put64", "pysyncobj/put64"),
        "256 callers": ("raftd/put256", "etcd/put256"),
        "one put": ("raftd/put1", "etcd/put1", "pysyncobj/put1"),
        "64 gets": ("raftd/get64", "etcd/get64"),
        "64 async gets": ("raftd/aget64",),
    }
    figure, axes = plots.subplots(3, 1, figsize=(9, 11), layout="constrained")
    panels = (
        (axes[0], "rate", "commands a second"),
        (axes[1], "p50_ms", "p50, ms"),
        (axes[2], "cpu_us.all", "CPU us per command, all processes"),
    )
    colours = {"raftd": "#1f77b4", "etcd": "#ff7f0e", "pysyncobj": "#7f7f7f"}
    for axis, key, label in panels:
        for at, names in enumerate(groups.values()):
            for name in names:
                series = found.get(name)
                side = name.partition("/")[0]
                if not series or key.partition(".")[0] not in series[0]:
                    continue
                if key == "p50_ms" and at == 0:
                    continue  # calls of quite different sizes
                shift = (list(colours).index(side) - 1) * 0.27
                outer, _, inner = key.partition(".")
                values = [f[outer][inner] if inner else f[outer] for f in series]
                middle = median(series, key)
                axis.bar(at + shift, middle, 0.25, color=colours[side])
                axis.vlines(at + shift, min(values), max(values), color="black", linewidth=1)
                axis.text(at + shift, middle, f"{middle:,.{_decimals(middle)}f}", ha="center",
                          va="bottom", fontsize=7)  # fmt: skip
        axis.set_xticks(range(len(groups)), list(groups))
        axis.set_yscale("log")
        axis.set_ylabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    shown = [side for side in colours if any(name.startswith(side) for name in found)]
    handles = [plots.Rectangle((0, 0), 1, 1, color=colours[side]) for side in shown]
    figure.legend(handles, shown, loc="outside lower center", ncols=len(shown), frameon=False)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plots.close(figure)
