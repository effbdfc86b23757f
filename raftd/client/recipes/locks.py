"""Locks and elections: the part on the client's loop.

Both are a queue of keys under `<name>/`, as in the etcd v3 API, so that etcd's own tools and ours
wait for each other. Whoever wants the lock makes the key `<name>/<lease in hex>` with its lease and
has it when no older key is left. The key's create_revision is the *fencing token*: it is greater
than that of every holder before.

Each step may be done again, so a fault in between only takes time.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from raftd.client import txn
from raftd.client.errors import (
    Compacted,
    LockLost,
    NotDone,
    OutcomeUnknown,
    WrongProcess,
)
from raftd.client.operations import Operation
from raftd.client.recipes.feed import ReadingFeed
from raftd.client.recipes.leases import LeaseKeeper
from raftd.client.recipes.watch import Span, Watcher
from raftd.wire.kv_results import KeyValue
from raftd.wire.spans import prefix_end
from raftd.wire.txn_answers import RangeAnswer, TxnResult
from raftd.wire.txn_types import ASCEND, CREATE_REVISION, DESCEND, Compare, RangeOp, Txn

if TYPE_CHECKING:
    from raftd.client.delivery.engine import Engine

LOCK_TTL_S = 10
ATTEMPT_SECONDS = 5.0
PAUSE_SECONDS = 0.05
WAITS = "waits for it already: make a lock object for each"
NO_TURN = "the deadline passed before the cluster said whose turn it is; is there a leader?"
DRAWN_DIGITS = 12
"""A lease's id that was drawn has so many hexadecimal digits or more, but for one in 16,000."""
_HEX = re.compile(rb"[0-9a-f]{1,16}")
FEW, ALL = 8, 0
"""How many keys are looked at: a few first."""
Answer = TypeVar("Answer")


class Leader(NamedTuple):
    """Who leads: its key, what it campaigned with or proclaimed last, and its fencing token."""

    key: bytes
    value: bytes
    token: int


class Ownership:
    """A lock or a leadership that was won. Its truth value says whether it is still held.

    key: the key that stands for it. token: the fencing token, greater than that of every owner
    before; whatever is protected can refuse a smaller one than it has seen. Any thread, no I/O.
    """

    def __init__(self, key: bytes, token: int, keeper: LeaseKeeper) -> None:
        self.key = key
        self.token = token
        self._keeper = keeper

    @property
    def lease_id(self) -> int:
        """Of the lease under which it is held. Keys put with it end with it."""
        return self._keeper.id

    @property
    def guard(self) -> Compare:
        """For `txn(when=[owner.guard, ...])`: holds as long as nobody else can have it."""
        return txn.create_revision(self.key) == self.token

    def __bool__(self) -> bool:
        """By this client's own clock, so it is False no later than others can have it."""
        return self._keeper.alive

    def check(self) -> None:
        """Raises LockLost if it is not held any more."""
        self._keeper.check()


async def acquire(
    engine: Engine, prefix: bytes, value: bytes, keeper: LeaseKeeper, deadline: float | None
) -> Ownership | None:
    """Make the key and wait until it is the oldest. None: at `deadline` others had their turn.

    deadline: on the client's clock; None: never. The first look is made however late it is. Raises
    LockLost if the lease ends meanwhile.
    """
    clock = engine.context.clock
    place = await _join(engine, prefix, value, keeper)
    while True:
        before, revision = await _before(engine, prefix, place, keeper)
        if before is None:
            return place
        left = None if deadline is None else deadline - clock()
        if left is not None and left <= 0:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await _gone(engine, before.key, revision, keeper)


async def _join(engine: Engine, prefix: bytes, value: bytes, keeper: LeaseKeeper) -> Ownership:
    """May be done again: the key that this lease made before is found."""
    key = prefix + b"%x" % keeper.id
    made = await insist(
        engine,
        Txn(
            [txn.create_revision(key) == 0],
            [txn.put(key, value, lease=keeper.id)],
            [txn.get(key)],
        ),
        keeper,
    )
    if made:
        return Ownership(key, made.revision, keeper)
    return Ownership(key, found(made, 0).kvs[0].create_revision, keeper)


async def _before(
    engine: Engine, prefix: bytes, place: Ownership, keeper: LeaseKeeper
) -> tuple[KeyValue | None, int]:
    """The youngest key that is older than ours, if there is one, and the revision of the look."""
    older, revision = await _older(engine, prefix, place, keeper, FEW)
    if not is_told(prefix, older):
        older, revision = await _older(engine, prefix, place, keeper, ALL)
    return _first_owner(prefix, older), revision


async def _older(
    engine: Engine, prefix: bytes, place: Ownership, keeper: LeaseKeeper, limit: int
) -> tuple[RangeAnswer, int]:
    """The youngest first. Raises LockLost if our own key is gone."""
    older = RangeOp(
        prefix, prefix_end(prefix), limit,
        order=DESCEND, sort=CREATE_REVISION, keys_only=True, max_create_revision=place.token - 1,
    )  # fmt: skip
    seen = await insist(engine, Txn(success=[txn.get(place.key), older]), keeper)
    if not found(seen, 0).kvs:
        raise LockLost(f"lease {keeper.id:x}: it ended while it waited for its turn")
    return found(seen, 1), seen.revision


async def _gone(engine: Engine, key: bytes, revision: int, keeper: LeaseKeeper) -> None:
    """Wait until the key has been deleted, or may have been."""
    watcher = Watcher(Span(key, b""), revision + 1, puts=False)
    gone = asyncio.ensure_future(watcher.take(engine, None))
    lost = asyncio.ensure_future(keeper.until_lost())
    try:
        done, _ = await asyncio.wait({gone, lost}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except Compacted:  # so long ago: look again
        return
    finally:
        watcher.close()
        for task in (gone, lost):
            task.cancel()
        await asyncio.gather(gone, lost, return_exceptions=True)


async def insist(engine: Engine, transaction: Txn, keeper: LeaseKeeper) -> TxnResult:
    """For what may be done twice: until there is an answer, or the lease is lost."""
    operation = txn.operation(transaction)
    while True:
        keeper.check()
        try:
            return await engine.run(operation, ATTEMPT_SECONDS)
        except WrongProcess:
            raise
        except (NotDone, OutcomeUnknown):
            await asyncio.sleep(PAUSE_SECONDS)


# -- who leads ---------------------------------------------------------------------------------


def leader(prefix: bytes, limit: int) -> Operation[TxnResult]:
    """The oldest keys. With FEW, ask for ALL unless it `is_told`. See `leader_of`."""
    oldest = RangeOp(prefix, prefix_end(prefix), limit, order=ASCEND, sort=CREATE_REVISION)
    return txn.operation(Txn(success=[oldest]))


def leader_of(prefix: bytes, answer: TxnResult) -> Leader | None:
    owner = _first_owner(prefix, found(answer, 0))
    return Leader(owner.key, owner.value, owner.create_revision) if owner else None


def proclamation(owner: Ownership, value: bytes) -> Operation[TxnResult]:
    """Put another value, if we still lead."""
    put = txn.put(owner.key, value, lease=owner.lease_id)
    return txn.operation(Txn([owner.guard], [put]))


class LeaderFeed(ReadingFeed[Leader | None]):
    """Every change of who leads, or of what it proclaims; None: nobody. First how it is now.

    What changes twice between two looks is seen once.
    """

    def __init__(self, prefix: bytes) -> None:
        super().__init__()
        self._prefix = prefix
        self._seen: tuple[Leader | None] | None = None
        """What was handed over last; None: nothing yet."""
        self._watcher: Watcher | None = None
        self._looked = False
        """Nothing has been heard since the last look."""

    async def _read(self, engine: Engine) -> list[Leader | None]:
        while True:
            if self._looked and self._watcher is not None:
                await self._change(engine, self._watcher)
            now = await self._look(engine)
            if self._seen != (now,):
                return [now]

    async def _change(self, engine: Engine, watcher: Watcher) -> None:
        """Wait until something has changed. From then on a look is due, whoever is cancelled."""
        try:
            await watcher.take(engine, None)
        except Compacted:  # away for so long: look again, and watch from there
            self._rewind()
        self._looked = False

    async def _look(self, engine: Engine) -> Leader | None:
        answer = await self._answer(engine, FEW)
        if not is_told(self._prefix, found(answer, 0)):
            answer = await self._answer(engine, ALL)
        if self._watcher is None:
            span = Span(self._prefix, prefix_end(self._prefix))
            self._watcher = Watcher(span, answer.revision + 1)
        self._looked = True
        return leader_of(self._prefix, answer)

    async def _answer(self, engine: Engine, limit: int) -> TxnResult:
        while True:
            try:
                return await engine.run(leader(self._prefix, limit), ATTEMPT_SECONDS)
            except WrongProcess:
                raise
            except NotDone:
                await asyncio.sleep(PAUSE_SECONDS)

    def _hand_over(self, items: list[Leader | None]) -> None:
        self._seen = (items[-1],)

    def _rewind(self) -> None:
        watcher, self._watcher = self._watcher, None
        self._looked = False
        if watcher is not None:
            watcher.close()


def is_told(prefix: bytes, keys: RangeAnswer) -> bool:
    """Are these enough to say who is the first, or that there is nobody?"""
    return not keys.more or _first_owner(prefix, keys) is not None


def _first_owner(prefix: bytes, keys: RangeAnswer) -> KeyValue | None:
    """The first key that stands for somebody: a program may keep keys of its own under the name.

    Which of the short ones is which, its lease tells.
    """
    for kv in keys.kvs:
        rest = kv.key.removeprefix(prefix)
        if _HEX.fullmatch(rest) and (
            len(rest) >= DRAWN_DIGITS or int(rest, 16) == (kv.lease or -1)
        ):
            return kv
    return None


def found(answer: TxnResult, at: int) -> RangeAnswer:
    """What the read in that place of a transaction found."""
    response = answer.responses[at]
    return response if isinstance(response, RangeAnswer) else RangeAnswer([], False, 0)
