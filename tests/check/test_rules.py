"""Transactions, leases, the past, holds and watches: an honest history, and for each rule one that
breaks it and nothing else.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raftd.check.__main__ import main
from raftd.check.history import History, HistoryError, read
from raftd.check.judge import (
    LINEARIZABLE,
    NOT_LINEARIZABLE,
    RULE_BROKEN,
    UNDECIDED,
    Verdict,
    judge,
)
from raftd.check.writing import line_of, notice_line
from tests.check.honest import Honest

Change = Callable[[list[str]], None]


def verdict_on(lines: list[str]) -> Verdict:
    return judge(read(lines))


def honest() -> list[str]:
    """Two keys, a transaction, a lease that ends, a watcher that resumes, two holders."""
    return [
        '{"op":"put","key":"a","value":"1","call":0,"return":1,"outcome":"ok","revision":2}',
        '{"op":"grant","lease":9,"ttl":5,"call":1,"return":2,"outcome":"ok"}',
        '{"op":"txn","compare":[{"key":"a","target":"version","is":"=","than":1}],'
        '"then":[{"put":"b","value":"2","lease":9},{"put":"a","value":"2"},{"get":"b"}],'
        '"else":[{"delete":"a"}],"call":2,"return":3,"outcome":"ok","revision":3,"succeeded":true,'
        '"responses":[null,null,{"value":"2","version":1,"lease":9}]}',
        '{"op":"renew","lease":9,"call":4,"return":5,"outcome":"ok","ttl":5}',
        '{"op":"get","key":"b","call":9,"return":10,"outcome":"ok","value":null,"revision":4}',
        '{"op":"renew","lease":9,"call":10,"return":11,"outcome":"ok","ttl":0}',
        '{"op":"get","key":"a","at":2,"call":11,"return":12,"outcome":"ok","value":"1",'
        '"version":1,"revision":4}',
        '{"op":"put","key":"a","value":"3","call":12,"return":13,"outcome":"ok","revision":5}',
        '{"watch":"w","begin":2,"prefix":"","previous":true,"time":0.5}',
        '{"watch":"w","time":1.5,"events":[{"key":"a","revision":2,"previous":null,'
        '"item":{"value":"1","version":1,"create_revision":2,"mod_revision":2}}]}',
        '{"watch":"w","time":3.5,"events":[{"key":"b","revision":3,"previous":null,'
        '"item":{"value":"2","version":1,"create_revision":3,"lease":9}},'
        '{"key":"a","revision":3,"previous":{"value":"1","version":1},'
        '"item":{"value":"2","version":2,"create_revision":2}}]}',
        '{"watch":"w","time":3.6,"progress":3}',
        '{"watch":"w","begin":4,"prefix":"","previous":true,"time":4}',
        '{"watch":"w","time":9.5,"events":[{"key":"b","revision":4,"previous":{"value":"2"}}]}',
        '{"watch":"w","time":13.5,"events":[{"key":"a","revision":5,"previous":{"value":"2"},'
        '"item":{"value":"3","version":3,"create_revision":2}}]}',
        '{"op":"hold","key":"lock","token":7,"call":1,"return":2,"outcome":"ok"}',
        '{"op":"hold","key":"lock","token":8,"call":3,"return":4,"outcome":"ok"}',
        '{"op":"compact","at":3,"call":14,"return":15,"outcome":"ok"}',
    ]  # fmt: skip


def test_an_honest_history_passes() -> None:
    assert verdict_on(honest()).result == LINEARIZABLE, verdict_on(honest()).lines()


BROKEN = {
    "lease-kept": (
        '"call":10,"return":11,"outcome":"ok","ttl":0',
        '"call":8,"return":8.5,"ttl":0,"outcome":"ok"',
    ),
    "lease-ended": (
        '"call":4,"return":5,"outcome":"ok","ttl":5',
        '"call":12,"return":13,"ttl":5,"outcome":"ok"',
    ),
    "hold-exclusive": (
        '"call":3,"return":4,"outcome":"ok"}',
        '"call":1.5,"return":4,"outcome":"ok"}',
    ),
    "hold-fenced: token 6 after 7": ('"token":8', '"token":6'),
    "hold-fenced: two held it with token 7": ('"token":8', '"token":7'),
    "read-compacted": ('"call":14,"return":15', '"call":3,"return":4'),
    "watch-filtered: watch w: put": ('"begin":2,"prefix":""', '"begin":2,"prefix":"b"'),
    "watch-filtered: watch w: delete": (
        '"begin":4,"prefix":""',
        '"begin":4,"deletes":false,"prefix":""',
    ),
    "watch-filtered: watch w: revision 2": ('"begin":2', '"begin":3'),
    "watch-created": ('"version":3,"create_revision":2', '"version":3,"create_revision":3'),
    "watch-previous": ('"previous":{"value":"2"},', '"previous":{"value":"1"},'),
    "watch-previous: watch w: put b": (
        '"key":"b","revision":3,"previous":null',
        '"key":"b","revision":3,"previous":{"value":"0"}',
    ),
    "watch-bookmarkable: watch w: b at 4": ('"time":3.6,"progress":3', '"time":9.6,"progress":4'),
    "watch-bookmarkable: watch w: 1 after": ('"time":3.6,"progress":3', '"time":3.6,"progress":1'),
    "watch-resumable": (
        '"time":9.5,"events":[{"key":"b","revision":4,"previous":{"value":"2"}}]}',
        '"time":9.5,"begin":4,"prefix":""}',
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_seen_to_break(rule: str) -> None:
    old, new = BROKEN[rule]
    lines = honest()
    changed = [line.replace(old, new) for line in lines]
    assert changed != lines
    verdict = verdict_on(changed)
    assert verdict.result == RULE_BROKEN, verdict.lines()
    assert verdict.reason.startswith(rule), verdict.lines()
    assert verdict.window or verdict.notices


def moved(rule: str, change: Change) -> None:
    lines = honest()
    change(lines)
    verdict = verdict_on(lines)
    assert verdict.result == RULE_BROKEN, verdict.lines()
    assert verdict.reason.startswith(rule), verdict.lines()


def at(lines: list[str], text: str) -> int:
    return next(number for number, line in enumerate(lines) if text in line)


def test_an_event_is_left_out() -> None:
    def leave_out(lines: list[str]) -> None:
        del lines[at(lines, '"time":1.5')]

    moved("watch-reliable", leave_out)


def test_an_event_that_never_happened() -> None:
    def invent(lines: list[str]) -> None:
        place = at(lines, '"time":1.5')
        lines[place] = lines[place].replace('"value":"1"', '"value":"7"')

    moved("watch-reliable", invent)


def test_a_delete_of_nothing() -> None:
    def invent(lines: list[str]) -> None:
        place = at(lines, '"time":9.5')
        lines[place] = lines[place].replace('"key":"b"', '"key":"c"')

    moved("watch-reliable", invent)


def test_an_event_after_a_later_one() -> None:
    def swap(lines: list[str]) -> None:
        place = at(lines, '"time":1.5')
        lines.insert(place + 1, lines.pop(place))

    moved("watch-ordered", swap)


def test_half_a_revision() -> None:
    def halve(lines: list[str]) -> None:
        place = at(lines, '"time":3.5')
        lines[place] = lines[place].split(',{"key":"a"')[0] + "]}"

    moved("watch-atomic", halve)


def test_a_revision_in_two_pieces() -> None:
    def cut(lines: list[str]) -> None:
        place = at(lines, '"time":3.5')
        first, second = lines[place].split(',{"key":"a"')
        lines[place : place + 1] = [
            first + "]}",
            '{"watch":"w","time":3.55,"events":[{"key":"a"' + second,
        ]

    moved("watch-atomic", cut)


def test_an_event_twice() -> None:
    def twice(lines: list[str]) -> None:
        place = at(lines, '"time":1.5')
        lines.insert(place, lines[place])

    moved("watch-unique", twice)


def test_an_event_behind_a_report() -> None:
    def late(lines: list[str]) -> None:
        place = at(lines, '"time":3.6')
        lines.insert(place - 1, lines.pop(place))

    moved("watch-bookmarkable", late)


def test_progress_ahead_of_what_was_done() -> None:
    """Revision 5 was made after 12, and progress told of it at 9.6."""
    lines = honest()
    lines.insert(at(lines, '"time":13.5'), '{"watch":"w","time":9.6,"progress":5}')
    verdict = verdict_on(lines)
    assert verdict.result in (NOT_LINEARIZABLE, RULE_BROKEN), verdict.lines()
    assert verdict.window or verdict.notices


def test_told_of_a_compaction_that_took_nothing() -> None:
    def told(lines: list[str]) -> None:
        lines.append('{"watch":"w","time":16,"compacted":3}')

    moved("watch-compacted", told)


def test_a_compaction_of_what_was_not_seen_is_told_rightly() -> None:
    lines = [*honest(), '{"watch":"v","begin":2,"key":"a","time":15}']
    lines.append('{"watch":"v","time":16,"compacted":3}')
    assert verdict_on(lines).result == LINEARIZABLE


WRONG = {
    "a transaction whose compare did not hold": ('"than":1}', '"than":2}'),
    "half of it": ('"version":3,"create_revision":2}', '"version":2,"create_revision":2}'),
    "what it read of its own": ('{"value":"2","version":1,"lease":9}]', '{"value":"1"}]'),
    "a read of the past": ('"at":2', '"at":3'),
    "a lease that ends early": ('"call":9,"return":10,"outcome"', '"call":6,"return":7,"outcome"'),
    "a key goes that had no lease": ('"value":"2","lease":9}', '"value":"2"}'),
    "the future": ('"at":2', '"at":5'),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_no_order_explains(what: str) -> None:
    """Without the watcher, who would see most of it first."""
    old, new = WRONG[what]
    lines = [line for line in honest() if '"watch"' not in line or "half" in what]
    changed = [line.replace(old, new) for line in lines]
    assert changed != lines
    verdict = verdict_on(changed)
    assert verdict.result != LINEARIZABLE, verdict.lines()
    assert verdict.reason


def test_without_revisions_watches_and_the_past_are_undecided() -> None:
    lines = [
        '{"op":"put","key":"a","value":"1","call":0,"return":1,"outcome":"ok"}',
        '{"op":"get","key":"a","at":2,"call":2,"return":3,"outcome":"ok","value":"1"}',
    ]
    assert verdict_on(lines).result == UNDECIDED
    watch = ['{"watch":"w","begin":1,"key":"a"}', lines[0]]
    assert verdict_on(watch).result == UNDECIDED


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"watch":"w"}', "watch: expected one of begin"),
        ('{"watch":"w","events":[]}', "events: expected a list"),
        ('{"watch":"w","progress":1,"extra":2}', "no such field: extra"),
        ('{"watch":"w","events":[{"key":"a","kind":1}]}', "no such field: kind"),
        ('{"op":"txn","compare":[{"key":"a","target":"size","is":"=","than":1}]', "target"),
        ('{"op":"txn","compare":[{"key":"a","target":"version","is":"~","than":1}]', "is:"),
        ('{"op":"txn","then":[{"puts":"a"}]', "then, else: expected objects"),
        ('{"op":"txn","then":[{"put":"a","value":"1","ttl":1}]', "no such field: ttl"),
        ('{"op":"grant","lease":0,"ttl":1', "lease: expected a number from 1"),
        ('{"op":"hold","key":"a"', "token: expected a number"),
    ],
)
def test_wrong_lines_are_refused(line: str, complaint: str) -> None:
    if not line.endswith("}"):
        line += ',"call":0,"outcome":"unknown"}'
    with pytest.raises(HistoryError, match=complaint):
        read([line])


def test_what_is_written_is_read_the_same() -> None:
    history = read(honest())
    again = read([*map(line_of, history.ops), *map(notice_line, history.watches)])
    for op in (*history.ops, *again.ops):
        op.line = 0
    for notice in (*history.watches, *again.watches):
        notice.line = 0
    assert again.ops == history.ops
    assert again.watches == history.watches


# -- honest histories of a random store, and spoilt ones -------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_random_honest_histories_pass(seed: int) -> None:
    history = Honest(seed, operations=120).history()
    verdict = judge(history)
    assert verdict.result == LINEARIZABLE, verdict.lines()
    assert verdict.watched > 50
    lines = [*map(line_of, history.ops), *map(notice_line, history.watches)]
    assert judge(read(lines)).result == LINEARIZABLE


@pytest.mark.parametrize("seed", range(30))
def test_random_spoilt_histories_do_not(seed: int) -> None:
    maker = Honest(seed, operations=120)
    history = maker.history()
    what = maker.spoil(history)
    verdict = judge(history)
    assert verdict.result in (NOT_LINEARIZABLE, RULE_BROKEN), f"{what}: {verdict.lines()}"


def test_many_short_histories_take_seconds(tmp_path: Path) -> None:
    """102 of 80 operations, with transactions, leases and watchers, in one process."""
    paths = []
    for seed in range(102):
        history: History = Honest(seed, operations=80).history()
        path = tmp_path / f"{seed}.jsonl"
        lines = [*map(line_of, history.ops), *map(notice_line, history.watches)]
        path.write_text("\n".join(lines) + "\n")
        paths.append(str(path))
    out, began = io.StringIO(), time.process_time()
    assert main(paths, out) == 0
    assert time.process_time() - began < 10
