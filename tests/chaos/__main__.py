"""Real processes under faults of all kinds, with a verdict on what their clients saw.

python -m tests.chaos run --seconds 600        all faults, five nodes (make chaos)
python -m tests.chaos run --planted            a daemon with a planted stale read: must be caught
python -m tests.chaos kills --cycles 500       kill -9 under load: nothing lost, nothing twice
python -m tests.chaos faults                   what there is

Files are under .run/chaos: a directory for each node, and history.jsonl, which
`python -m raftd.check` judges again. Exit codes: 0 good, 1 a violation or trouble, 2 usage.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.nodes import ROOT
from tests.chaos.catalogue import FAULTS, missing
from tests.chaos.kills import run as run_kills
from tests.chaos.run import Chaos, Options

BASE = ROOT / ".run" / "chaos"
PLANTED = "tests.chaos.planted"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    code: int = arguments.run(arguments)
    return code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = made.add_subparsers(metavar="VERB", required=True)
    run = verbs.add_parser("run", help="one fault after the other, then the verdict")
    run.add_argument("--nodes", type=int, default=5, metavar="N", help="3 to 9 (default 5)")
    run.add_argument("--seconds", type=float, default=600, metavar="S", help="default 600")
    run.add_argument("--seed", type=int, default=1, help="of what is done when (default 1)")
    run.add_argument("--faults", default="", metavar="A,B", help="these, once, in this order")
    run.add_argument(
        "--planted", action="store_true", help="a daemon with a stale read, or another bug"
    )
    run.add_argument("--bug", default="", choices=("", "event", "lease", "token"))
    run.set_defaults(run=_run)
    cycles = verbs.add_parser("kills", help="kill -9, start, again and again, under load")
    cycles.add_argument("--cycles", type=int, default=500, metavar="N", help="default 500")
    cycles.add_argument("--seconds", type=float, default=3600, metavar="S", help="at most")
    cycles.add_argument("--nodes", type=int, default=3, metavar="N", help="default 3")
    cycles.add_argument("--seed", type=int, default=1)
    cycles.set_defaults(run=_kills)
    verbs.add_parser("faults", help="list them").set_defaults(run=_faults)
    return made


def _run(arguments: argparse.Namespace) -> int:
    if not 3 <= arguments.nodes <= 9:
        print(f"chaos: --nodes {arguments.nodes}: expected 3 to 9", file=sys.stderr)
        return 2
    options = Options(
        base=_fresh(BASE / "run"),
        nodes=arguments.nodes,
        seconds=arguments.seconds,
        seed=arguments.seed,
        faults=tuple(name for name in arguments.faults.split(",") if name),
    )
    if arguments.planted:
        options = Options(
            base=options.base,
            nodes=options.nodes,
            seconds=options.seconds,
            seed=options.seed,
            faults=options.faults or ("isolate-leader", "pause-leader", "isolate-leader"),
            program=PLANTED + (f"_{arguments.bug}" if arguments.bug else ""),
        )
    try:
        report = Chaos(options, _say).run()
    except ValueError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    for line in report.lines():
        _say(line)
    where = (options.base / "history.jsonl").relative_to(ROOT)
    _say(f"{'GOOD' if report.good else 'BAD'}; seed {options.seed}; history: {where}")
    return 0 if report.good else 1


def _kills(arguments: argparse.Namespace) -> int:
    report = run_kills(
        _fresh(BASE / "kills"),
        nodes=arguments.nodes,
        cycles=arguments.cycles,
        seconds=arguments.seconds,
        seed=arguments.seed,
        say=_say,
    )
    for line in report.lines():
        _say(line)
    return 0 if report.good else 1


def _faults(_: argparse.Namespace) -> int:
    reasons = missing()
    for name in FAULTS:
        print(name + (f" (not here: {reasons[name]})" if name in reasons else ""))
    return 0


def _fresh(base: Path) -> Path:
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    return base


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
