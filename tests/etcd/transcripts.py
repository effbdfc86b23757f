"""Transcripts of etcdctl: commands and what they print, recorded from etcd, compared with raftd.

    $ put a 1                  runs `etcdctl put a 1`; the lines below are what it prints
    $ txn <<<'...'             the same with that text (with \\n for a new line) as its input
    & watch a --rev=2          the same in the background; `! 1` stops the first of them with SIGINT
    ~ get copy                 repeats the command until it prints something, or what is expected
    # why                      a comment

A non-zero exit code is the last line, as `[1]`. What no two clusters share is replaced: leases by
<lease1> and so on (which commands may name), ids, terms, addresses and times by a word.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.signals import born_with

GOLDEN = Path(__file__).with_name("golden")
ETCDCTL = shutil.which("etcdctl")
COMMAND_SECONDS = 20.0
QUIET_SECONDS = 0.1
RECORDING_QUIET_SECONDS = 1.5
"""A background command has said what it had to say when it was silent for so long, and when it has
said as many lines as the transcript has. When recorded anew, only the silence counts.
"""

_HERE = re.compile(r"^(.*?) <<<'(.*)'$")
_LEASE = re.compile(r"\b[0-9a-f]{13,16}\b")
_LEASE_IN_JSON = re.compile(r'(?<="ID":)[0-9]{13,19}\b')
_WORDS = [
    (re.compile(r'"(hash|dbSize|dbSizeInUse|raftIndex|raftTerm|raftAppliedIndex)":\d+,?'), ""),
    (re.compile(r'"(RaftIndex|RaftAppliedIndex|DBSize)" : \d+'), r'"\1" : 0'),
    (re.compile(r'"version":"3[0-9.]*"'), '"version":"3"'),
    (re.compile(r'"Version" : "3[0-9.]*"'), '"Version" : "3"'),
    (re.compile(r"http://127.0.0.1:\d+"), "<url>"),
    (re.compile(r'"(cluster_id|member_id|raft_term|MemberID|ClusterID)":\d+'), r'"\1":0'),
    (re.compile(r'"(ClusterID|MemberID|RaftTerm)" : \d+'), r'"\1" : 0'),
    (re.compile(r"took = [0-9.]+[nuµm]?s"), "took = <time>"),
    (re.compile(r"remaining\(\d+s\)"), "remaining(<time>)"),
]


@dataclass(slots=True)
class Background:
    process: subprocess.Popen[str]
    output: Path

    def settle(self, lines: int, quiet_seconds: float) -> None:
        """Wait until it has said `lines` lines, and then has been silent for a while."""
        deadline = time.monotonic() + COMMAND_SECONDS
        text, since = "", time.monotonic()
        while time.monotonic() < deadline:
            now = self.output.read_text()
            if now != text or now.count("\n") < lines:
                text, since = now, time.monotonic()
            if time.monotonic() - since >= quiet_seconds or self.process.poll() is not None:
                return
            time.sleep(0.01)


@dataclass(slots=True)
class Session:
    """One transcript being run against `endpoints` (as etcdctl takes them)."""

    endpoints: str
    quiet_seconds: float = QUIET_SECONDS
    folder: str = "."
    leases: dict[str, str] = field(default_factory=dict)
    background: list[Background] = field(default_factory=list)

    def run(self, steps: Iterable[tuple[str, int]]) -> Iterator[str]:
        """The transcript's lines with what is printed now. `steps`: by `steps_of`."""
        with tempfile.TemporaryDirectory() as folder:
            self.folder = folder
            try:
                for number, (step, lines) in enumerate(steps):
                    yield step
                    yield from self._step(step, lines, Path(folder, str(number)))
            finally:
                for one in self.background:
                    one.process.kill()
                    one.process.wait()

    def _step(self, step: str, lines: int, output: Path) -> Iterator[str]:
        sign, rest = step[:1], step[1:].strip()
        if sign == "$":
            text, code = self._command(rest)
            yield from self._said(text, code)
        elif sign == "~":
            deadline = time.monotonic() + COMMAND_SECONDS
            while True:
                text, code = self._command(rest)
                if text.count("\n") >= max(lines, 1) or time.monotonic() > deadline:
                    break
            yield from self._said(text, code)
        elif sign == "&":
            interruptible = born_with(signal.SIGINT, signal.default_int_handler)
            with output.open("w") as file, interruptible:
                process = subprocess.Popen(
                    self._arguments(rest),
                    stdout=file,
                    stderr=file,
                    text=True,
                    env=_environment(),
                    cwd=self.folder,
                )
            self.background.append(Background(process, output))
        elif sign == "!":
            one = self.background[int(rest) - 1]
            one.settle(lines, self.quiet_seconds)
            one.process.send_signal(signal.SIGINT)
            one.process.wait(COMMAND_SECONDS)
            yield from self._said(one.output.read_text(), 0)

    def _command(self, rest: str) -> tuple[str, int]:
        given = ""
        if here := _HERE.match(rest):
            rest, given = here.group(1), here.group(2).replace("\\n", "\n")
        run = subprocess.run(
            self._arguments(rest),
            input=self._with_leases(given),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            env=_environment(),
            cwd=self.folder,
            check=False,
        )
        return run.stdout, run.returncode

    def _arguments(self, rest: str) -> list[str]:
        rest = rest.replace("<endpoint>", self.endpoints.split(",")[0])
        words = shlex.split(self._with_leases(rest))
        return [ETCDCTL or "etcdctl", f"--endpoints={self.endpoints}", *words]

    def _with_leases(self, text: str) -> str:
        for real, name in self.leases.items():
            text = text.replace(name, real)
        return text

    def _said(self, text: str, code: int) -> Iterator[str]:
        for line in text.splitlines():
            if not line.startswith('{"level":'):
                yield ("  " + self._plain(line)).rstrip()
        if code:
            yield f"  [{code}]"

    def _plain(self, line: str) -> str:
        for pattern, word in _WORDS:
            line = pattern.sub(word, line)
        for endpoint in self.endpoints.split(","):
            line = line.replace(endpoint, "<endpoint>")
        # Decimal ones first: one in nine hundred is short enough to look like a hexadecimal one.
        line = _LEASE_IN_JSON.sub(lambda found: self._lease(f"{int(found.group()):x}"), line)
        for real, name in self.leases.items():
            line = re.sub(rf"\b{int(real, 16)}\b", name, line)
        return _LEASE.sub(lambda found: self._lease(found.group()), line)

    def _lease(self, real: str) -> str:
        """real: hexadecimal; a lease is printed with leading zeros, and a member without."""
        return self.leases.setdefault(f"{int(real, 16):x}", f"<lease{len(self.leases) + 1}>")


def steps_of(transcript: str) -> list[tuple[str, int]]:
    """The lines that are not output, each with the number of lines that follow it."""
    steps: list[tuple[str, int]] = []
    for line in transcript.splitlines():
        if line.startswith("  ") or not line:
            steps[-1] = (steps[-1][0], steps[-1][1] + 1)
        else:
            steps.append((line, 0))
    return steps


def played(transcript: str, endpoints: str, quiet_seconds: float = QUIET_SECONDS) -> str:
    """The transcript as it comes out at `endpoints`."""
    lines = Session(endpoints, quiet_seconds).run(steps_of(transcript))
    return "\n".join(lines) + "\n"


def _environment() -> dict[str, str]:
    return {**os.environ, "ETCDCTL_API": "3"}
