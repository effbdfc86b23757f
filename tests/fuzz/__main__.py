"""`python -m tests.fuzz`: every decoder under a coverage-guided fuzzer; a line a target.

A finding is kept as a file, with the command that replays it. Exit codes: 0 nothing found, 1
something was, 2 the fuzzer could not run.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus import TARGET_BYTES_MAX, inputs, kept_files, replace_chosen
from tests.fuzz.reach import ROOT, choose, executable_lines
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets import ALL

WORK = ROOT / ".run" / "fuzz"
LENGTH_MAX = 4096
HANG_SECONDS = 10
MEMORY_MB = 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """edges: as libFuzzer counts them. found: the input that broke it. error: it did not run."""

    executions: int
    edges: int
    found: Path | None
    error: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    if options.replay is not None:
        return _replay(ALL[options.target], options.replay)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed here: `make fuzz` does it, on Linux x86-64 only;")
        print("elsewhere tests/fuzz/test_corpus.py is what runs, without guidance")
        return 2
    targets = [ALL[options.target]] if options.target else list(ALL.values())
    print(f"{'target':<16}{'executions':>12}{'edges':>8}{'lines of its decoders':>24}")
    bad = 0
    for target in targets:
        outcome = _fuzz(target, options)
        print(_row(target, outcome, keep=options.keep), flush=True)
        if outcome.found is not None:
            bad = max(bad, 1)
            print(f"  {_last_words(target)}")
            chosen = f"--target {target.name} --replay {outcome.found}"
            print(f"  .venv/bin/python -m tests.fuzz {chosen}")
        elif outcome.error:
            bad = 2
            print(f"  the fuzzer did not run: {outcome.error}; see {_log(target)}")
    return bad


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--target", choices=ALL, help="one only; default: all, one after the other")
    add("--seconds", type=int, default=60, help="for each target (default %(default)s)")
    add("--runs", type=int, help="executions instead of seconds: the same seed, the same run")
    add("--seed", type=int, default=1, help="of the fuzzer's draws (default %(default)s)")
    add("--keep", action="store_true", help="choose anew what tests/fuzz/corpus keeps")
    add("--replay", type=Path, metavar="FILE", help="run --target on one input, traceback and all")
    options = parser.parse_args(argv)
    if options.replay is not None and options.target is None:
        parser.error("--replay needs --target")
    return options


def _replay(target: Target, path: Path) -> int:
    taken = attempt(target, path.read_bytes())
    print("taken" if taken else "rightly refused")
    return 0


def _log(target: Target) -> Path:
    return WORK / f"{target.name}.log"


def _fuzz(target: Target, options: argparse.Namespace) -> Outcome:
    """In a process of its own, from seeds and kept inputs into an empty directory."""
    grown, begin = WORK / target.name / "grown", WORK / target.name / "begin"
    shutil.rmtree(WORK / target.name, ignore_errors=True)
    grown.mkdir(parents=True)
    begin.mkdir()
    for number, data in enumerate(inputs(target)):
        (begin / f"{number:04}").write_bytes(data)
    words = WORK / target.name / "words"
    lines = [f'"{_escaped(word)}"\n' for word in target.words or (b"\xff" * 8,)]
    words.write_text("".join(lines))
    amount = f"-runs={options.runs}" if options.runs else f"-max_total_time={options.seconds}"
    command = [
        sys.executable, "-m", "tests.fuzz.worker", target.name, str(grown), str(begin), amount,
        f"-seed={options.seed}", f"-max_len={LENGTH_MAX}", f"-dict={words}",
        f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1",
        f"-artifact_prefix={WORK / target.name}/found-",
    ]  # fmt: skip
    with _log(target).open("w") as log:
        code = subprocess.run(
            command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False
        ).returncode
    text = _log(target).read_text(errors="replace")
    found = next((WORK / target.name).glob("found-*"), None)
    edges = re.findall(r" cov: (\d+) ", text)
    counts = re.findall(r"finding at execution (\d+)|number_of_executed_units: (\d+)", text)
    if found is None and (code or not counts):
        return Outcome(0, 0, None, f"exit code {code}")
    executions = int(next(filter(None, counts[0]), 0)) if counts else 0
    return Outcome(executions, int(edges[-1]) if edges else 0, found)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _row(target: Target, outcome: Outcome, *, keep: bool) -> str:
    row = f"{target.name:<16}{outcome.executions:>12,}{outcome.edges:>8}"
    if outcome.found is not None or outcome.error:
        return row + f"{'FOUND' if outcome.found else 'FAILED':>24}"
    grown = [path.read_bytes() for path in (WORK / target.name / "grown").iterdir()]
    kept, reach = choose(target, [*inputs(target), *grown], TARGET_BYTES_MAX)
    have = {path: executable_lines(path) for path in target.decoders}
    total = sum(map(len, have.values()))
    hit = sum(len(lines & reach.lines(path)) for path, lines in have.items())
    row += f"{f'{hit} of {total}, {100 * hit // total} %':>24}"
    if keep:
        size = replace_chosen(target, kept)
        row += f"   kept {len(kept_files(target))} files, {size} bytes"
    return row


def _last_words(target: Target) -> str:
    """The exception's line, of libFuzzer's long report."""
    text = _log(target).read_text(errors="replace")
    match = re.search(r"=== Uncaught Python exception: ===\n(.*)", text)
    return match.group(1) if match else f"see {_log(target)}"


if __name__ == "__main__":
    raise SystemExit(main())
