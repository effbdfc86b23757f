"""The lines of a history: what is written is read back, what is wrong is named; exit codes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from random import Random

import pytest

from raftd.check.__main__ import main
from raftd.check.history import HistoryError, read
from raftd.check.operations import Item, Op
from raftd.check.writing import header_line, line_of
from tests.check.generate import Maker, Shape

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_written_is_read_back() -> None:
    for seed in range(50):
        ops = Maker(Random(seed), Shape(ops=40, keys=3)).history()
        lines = [header_line(), *map(line_of, ops)]
        history = read(lines)
        for number, op in enumerate(ops, 2):
            op.line = number
        assert history.ops == ops
        assert history.revision == 1


def test_bytes_that_are_no_text() -> None:
    op = Op("put", b"\xff\x00", 1.0, 2.0, "ok", value=b"\x80", line=1, revision=2)
    assert '{"base64":' in line_of(op)
    assert read([line_of(op)]).ops == [op]


def test_events_are_joined_to_operations() -> None:
    history = read(
        [
            '{"event":"call","id":7,"op":"put","key":"k","value":"1"}',
            '{"event":"call","id":8,"op":"get","key":"k"}',
            '{"event":"return","id":8,"outcome":"ok","value":"1","mod_revision":2,"revision":2}',
            '{"event":"return","id":7,"outcome":"unknown"}',
            '{"event":"call","id":7,"op":"delete","key":"k"}',
        ]
    )
    get, put, delete = history.ops
    assert (get.kind, get.call, get.ret, get.found) == ("get", 2, 3, Item(b"1", None, 2))
    assert (put.kind, put.outcome, put.ret) == ("put", "unknown", float("inf"))
    assert (delete.kind, delete.outcome) == ("delete", "unknown")


BATCH = '{"op":"batch","operations":[["k","v"]],"call":1,"return":2,"outcome":"ok",'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: expected one JSON object"),
        ('{"op":"append"}', "line 1: op 'append': expected one of put, get"),
        ('{"op":"get","key":"k","revison":1}', "no such field: revison"),
        ('{"op":"get","key":"k","outcome":"maybe"}', "outcome 'maybe'"),
        ('{"op":"get","key":"k","outcome":"ok","call":1}', "return: expected a time"),
        ('{"op":"get","key":"k","outcome":"ok","call":2,"return":1}', "return: is before call"),
        ('{"op":"get","key":"k","outcome":"ok","call":1,"return":2}', "value: a get that is ok"),
        ('{"op":"get","outcome":"unknown","call":1}', "key: missing"),
        ('{"op":"put","key":{"base64":"!"},"value":"","outcome":"unknown","call":1}', "key: "),
        ('{"op":"put","key":1,"value":"","outcome":"unknown","call":1}', "key: expected text"),
        ('{"op":"cas","key":"k","outcome":"unknown","call":1}', "expect: an object with one of"),
        ('{"op":"batch","operations":[["a","1"],["a","2"]],"outcome":"unknown","call":1}', "twice"),
        ('{"event":"return","id":1}', "a return without a call"),
        ('{"format":"other","version":1}', "expected format 'raftd-history' version 2"),
        ('{"op":"range","outcome":"ok","call":1,"return":2,"items":[3]}', "expected an object"),
        ('{"op":"get","a\\nb":1}', "no such field: a\\nb"),
        ('{"op":"get","key":"k","outcome":"ok","call":1,"return":Infinity}', "inf is no time"),
        ('{"op":"put","key":{"base64":"\u00e9"},"value":"","outcome":"unknown","call":1}', "key: "),
        ('{"event":"call","id":1,"op":"get","key":{"base64":"\u00e9"}}', "line 1: key: "),
        (BATCH + '"versions":7}', "versions: expected a list"),
        (BATCH + '"versions":[1e999]}', "versions: expected a number"),
        ('{"format":"raftd-history","version":1,"initial":{"items":5}}', "items: expected a list"),
        ("[" * 100_000, "line 1: nested too deep"),
    ],
)
def test_what_is_wrong_is_named(line: str, complaint: str) -> None:
    with pytest.raises(HistoryError, match=re.escape(complaint)):
        read([line])


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.jsonl"
    good = ['{"op":"put","key":"k","value":"1","call":0,"return":1,"outcome":"ok"}']
    bad = [*good, '{"op":"get","key":"k","value":null,"call":2,"return":3,"outcome":"ok"}']
    for lines, code, word in (
        (good, 0, "LINEARIZABLE"),
        (bad, 1, "NOT LINEARIZABLE"),
        (["nonsense"], 2, ""),
    ):
        path.write_text("\n".join(lines))
        out = io.StringIO()
        assert main([str(path)], out) == code
        assert out.getvalue().startswith(word)
    assert "history.jsonl: line 1: not JSON" in capsys.readouterr().err
    path.write_text("\n".join(good))
    assert main([str(path), "--by", "search", "--steps", "0"], io.StringIO()) == 4
    assert main([str(tmp_path / "none")], io.StringIO()) == 2


def test_the_documented_example_is_judged(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "history-format.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        for line in example.splitlines():
            json.loads(line)
        path = tmp_path / "history.jsonl"
        path.write_text(example)
        assert main([str(path)], io.StringIO()) == 0, example
