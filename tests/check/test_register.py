"""Short histories of one register, as Jepsen's etcd suite records them: many files, one process.

python -m tests.check.test_register    judges 102 of them and prints how long that took
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from raftd.check import judge as judging
from raftd.check.__main__ import main

HONEST = 23
OPERATIONS = 80
CLIENTS = 5


def lines_of(seed: int, honest: bool) -> list[str]:
    """Call and return lines; where not `honest`, half of the gets may show an old value."""
    rng = Random(seed)
    values: list[str | None] = [None]
    busy: dict[int, dict[str, object]] = {}
    done: dict[int, dict[str, object] | None] = {}
    lines: list[dict[str, object]] = []
    started = 0
    while started < OPERATIONS or busy:
        client = rng.randrange(CLIENTS)
        call = busy.get(client)
        if call is None and started < OPERATIONS:
            started += 1
            busy[client] = call = _call(rng, started)
            lines.append(call)
            done[client] = None
        elif call is not None and done[client] is None:
            stale = not honest and rng.random() < 0.5
            done[client] = _do(call, values, rng.choice(values[-9:]) if stale else values[-1])
        elif call is not None and rng.random() < 0.5:
            lost = call["op"] != "get" and rng.random() < 0.25
            if not lost:
                answer = done[client] or {}
                lines.append({"event": "return", "id": call["id"], "outcome": "ok", **answer})
            del busy[client]
    return [json.dumps(line) for line in lines]


def _call(rng: Random, number: int) -> dict[str, object]:
    op = rng.choice(("get", "put", "cas"))
    call: dict[str, object] = {"event": "call", "id": number, "op": op, "key": "r"}
    if op != "get":
        call["value"] = str(rng.randrange(5))
    if op == "cas":
        call["expect"] = {"value": str(rng.randrange(5))}
    return call


def _do(call: dict[str, object], values: list[str | None], shown: str | None) -> dict[str, object]:
    """The answer. A put and a cas that holds add to `values`."""
    if call["op"] == "get":
        return {"value": shown}
    holds = call["op"] == "put" or call["expect"] == {"value": values[-1]}
    if holds:
        values.append(str(call["value"]))
    return {"succeeded": holds} if call["op"] == "cas" else {}


def write_all(folder: Path, number: int) -> list[str]:
    paths = []
    for seed in range(number):
        path = folder / f"{seed:03}.jsonl"
        path.write_text("\n".join(lines_of(seed, seed < HONEST)) + "\n")
        paths.append(str(path))
    return paths


def test_many_histories_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The story without it: minimising took 99 % of the time, and nobody had asked for it."""

    def smallest(*_: object) -> None:
        raise AssertionError("nobody asked for the smallest window")

    monkeypatch.setattr(judging, "smallest", smallest)
    paths = write_all(tmp_path, HONEST + 7)
    out = io.StringIO()
    assert main([*paths, str(tmp_path / "none")], out) == 2
    assert "none" in capsys.readouterr().err
    verdicts = [line for line in out.getvalue().splitlines() if " operations (" in line]
    assert len(verdicts) == len(paths)
    for path, line in zip(paths[:HONEST], verdicts, strict=False):
        assert line.startswith(f"{path}: LINEARIZABLE")
    assert main(paths[:HONEST], io.StringIO()) == 0
    out = io.StringIO()
    assert main(paths, out) == 1
    assert "the longest explanation ends at: 1 operations" in out.getvalue()


def test_minimise_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "OPERATIONS", 24)
    paths = write_all(tmp_path, HONEST + 1)
    out = io.StringIO()
    assert main([paths[-1], "--minimise"], out) == 1
    assert "smallest offending window: " in out.getvalue()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        paths = write_all(Path(folder), 102)
        started, out = time.perf_counter(), io.StringIO()
        main(paths, out)
        lines = [line for line in out.getvalue().splitlines() if line.startswith(folder)]
        counts = Counter(line.split(": ")[1] for line in lines)
        print(f"{dict(counts)} in {time.perf_counter() - started:.1f} s")
