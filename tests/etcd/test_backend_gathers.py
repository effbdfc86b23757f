"""For whom the next batch of the etcd services waits, and for whom not."""

from __future__ import annotations

import asyncio

import pytest

from raftd.rpc.etcd import backend as module
from raftd.rpc.etcd.backend import Backend
from raftd.wire.batch import decode_batch
from tests.etcd.test_backend import Leader, applied, run
from tests.rpc.fakes import FakeNode


def test_callers_just_answered_come_into_one_batch_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story without it: the first one to come back leaves as a batch of its own, and all others
    wait for that one.
    """
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        gather = backend._gather
        monkeypatch.setattr(backend, "_gather", lambda answered, took: gather(answered, 60.0))
        node.on_submit = lambda batch, done: done(applied(batch))
        await asyncio.gather(*(backend.write(b"%d" % n) for n in range(4)))
        calls = []
        for n in (4, 5):
            calls.append(asyncio.ensure_future(backend.write(b"%d" % n)))
            await asyncio.sleep(0.001)
        assert len(node.submitted) == 1, "of four callers that are known three are waited for"
        assert await backend.write(b"6") == b"did 6"
        assert await asyncio.gather(*calls) == [b"did 4", b"did 5"]
        sizes = [len(decode_batch(batch).commands) for batch, _ in node.submitted]
        assert sizes == [4, 3]

    run(test)


def test_nobody_waits_for_a_caller_who_could_not_be_in_the_same_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch is of one principal. The story without it: with two users on, each of them with one
    caller, every put waited for the other's next one.
    """
    monkeypatch.setattr(module, "GATHER_SECONDS", 60.0)

    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        gather = backend._gather
        monkeypatch.setattr(backend, "_gather", lambda answered, took: gather(answered, 60.0))
        node.on_submit = lambda batch, done: done(applied(batch))
        calls = [backend.write(name, principal=name) for name in (b"one", b"other")]
        assert await asyncio.gather(*calls) == [b"did one", b"did other"]

    run(test)


def test_callers_that_stay_away_are_not_waited_for_long() -> None:
    async def test(backend: Backend, node: FakeNode, leader: Leader) -> None:
        node.on_submit = lambda batch, done: done(applied(batch))
        await asyncio.gather(*(backend.write(b"%d" % n) for n in range(4)))
        assert await backend.write(b"4") == b"did 4"

    run(test)
