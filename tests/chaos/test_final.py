"""The last look at the keys that were written once: what is missing, double or undead is seen."""

from __future__ import annotations

from raftd.check.operations import Compare, Item, Op, Part, Txn
from tests.chaos import fencing
from tests.chaos.final import Contents, Findings, compare
from tests.chaos.record import count


def _put(name: bytes, outcome: str) -> Op:
    return Op("put", b"own/" + name, 0.0, 1.0, outcome, value=name)


def _findings(contents: Contents, *ops: Op) -> Findings:
    findings = Findings(nodes=3, digests={"same"})
    compare(findings, contents, ops)
    return findings


def test_what_was_promised_is_there() -> None:
    contents = {b"own/a": Item(b"a", 1, 2), b"own/b": Item(b"b", 1, 3)}
    found = _findings(contents, _put(b"a", "ok"), _put(b"b", "unknown"), _put(b"c", "unknown"))
    assert found.good
    assert (found.acked, found.unknown, found.happened) == (1, 2, 1)


def test_lost() -> None:
    assert _findings({}, _put(b"a", "ok")).lost == [b"own/a"]
    other = {b"own/a": Item(b"x", 1, 2)}
    assert _findings(other, _put(b"a", "ok")).lost == [b"own/a"]


def test_done_twice() -> None:
    for outcome in ("ok", "unknown"):
        found = _findings({b"own/a": Item(b"a", 2, 3)}, _put(b"a", outcome))
        assert found.twice == [b"own/a"]
        assert not found.good
        assert "twice: own/a" in found.lines()


def test_there_though_it_certainly_was_not_done() -> None:
    found = _findings({b"own/a": Item(b"a", 1, 2)}, _put(b"a", "fail"))
    assert found.undead == [b"own/a"]
    assert not found.good


def test_nodes_that_differ() -> None:
    assert not Findings(nodes=3, digests={"one", "other"}).good
    assert not Findings(nodes=3, digests={"one"}, differing=["n2"]).good
    assert not Findings().good


def test_silence_is_the_longest_gap_between_answers() -> None:
    ops = [Op("get", b"k", 0.0, end, "ok") for end in (1.0, 2.0, 7.0)]
    ops += [Op("put", b"k", 3.0), Op("put", b"k", 3.0, 4.0, "fail"), Op("get", b"k", 3.0)]
    counts = count(ops, 0.0, 9.0)
    assert (counts.ok, counts.unknown, counts.fail, counts.silence) == (3, 1, 1, 5.0)


def _write(token: int, revision: int, *, taken: bool = True) -> Op:
    compare = Compare(b"lock/a/1", "create_revision", "=", number=token)
    part = Part("put", b"guarded/lock/a", b"%d" % token)
    op = Op("txn", b"", 0.0, 1.0, "ok", txn=Txn((compare,), (part,), ()))
    op.revision, op.done = revision, taken
    return op


def test_an_older_token_that_was_accepted_is_found() -> None:
    ops = [_write(7, 20), _write(5, 21, taken=False), _write(9, 30), _write(9, 31)]
    found = fencing.look([*ops, Op("hold", b"lock/a", 0.0, 1.0, "ok", token=7)])
    assert (found.holds, found.accepted, found.refused, found.stale) == (1, 3, 1, [])
    late = fencing.look([*ops, _write(7, 32)])
    assert len(late.stale) == 1
    assert "token 7 after 9" in late.stale[0]
