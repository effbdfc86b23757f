"""A process full of clients that writes down what it asked and what it was told.

`python -m tests.chaos.worker --endpoints ... --out history.jsonl` runs until a line comes on its
standard input; then only watchers go on, until that ends. Times are CLOCK_MONOTONIC: one clock for
all processes of a machine. Every value is written once.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from raftd.check.operations import INFINITY, Expect, Item, Op
from raftd.client import Client
from raftd.wire import kv
from tests.chaos import transactions
from tests.chaos.book import Book
from tests.chaos.company import Company

HOT_KEYS = 6
"""Few, so that operations meet."""
OWN_PREFIX = b"own/"
"""Keys that are written once, by one client: what became of each can be told at the end."""
CALL_SECONDS = 3.0
THINK_SECONDS = 0.02
BIG_BYTES = 4096
RESTED = ".rested"
"""The suffix of a file that says: nobody but watchers does anything any more."""


class Caller:
    """One client in a closed loop: draws an operation, does it, writes it down."""

    def __init__(
        self, name: str, client: Client, book: Book, seed: str, *, reads: bool, own: int
    ) -> None:
        self.pending: Op | None = None
        self._name = name
        self._client = client
        self._book = book
        self._draw = random.Random(seed)
        self._count = 0
        self._seen: dict[bytes, kv.KeyValue] = {}
        self._acts: list[Callable[[], None]] = [self._get, self._range]
        self._weights = [10, 2]
        if not reads:
            self._acts += [self._put, self._cas, self._delete, self._batch, self._own, self._txn]
            self._weights = [8, 1, 8, 4, 2, 3, own, 5]
        self._acts.append(self._past)
        self._weights.append(2)

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._draw.choices(self._acts, self._weights)[0]()
            stop.wait(self._draw.uniform(0, 2 * THINK_SECONDS))

    def close(self) -> None:
        self._client.close()

    # -- operations -----------------------------------------------------------------------------

    def _get(self) -> None:
        op = self._op("get", self._hot())

        def act() -> None:
            answer = self._client.get(op.key)
            op.revision, op.found = answer.revision, _item(answer.kv)
            if answer.kv is not None:
                self._seen[op.key] = answer.kv

        self._do(op, act)

    def _range(self) -> None:
        op = self._op("range", b"hot/")
        if self._draw.random() < 0.3:
            op.limit = self._draw.randint(1, HOT_KEYS)

        def act() -> None:
            answer = self._client.range(op.key, limit=op.limit)
            op.revision, op.more = answer.revision, answer.more
            op.items = tuple((pair.key, _shown(pair)) for pair in answer.kvs)

        self._do(op, act)

    def _put(self) -> None:
        self._put_to(self._hot(), self._value())

    def _own(self) -> None:
        size = BIG_BYTES if self._draw.random() < 0.1 else 0
        value = self._value()
        key = OWN_PREFIX + value
        self._put_to(key, value + b"." * size)

    def _put_to(self, key: bytes, value: bytes) -> None:
        op = self._op("put", key, value=value)

        def act() -> None:
            answer = self._client.put(key, value)
            op.revision, op.version = answer.revision, answer.version

        self._do(op, act)

    def _cas(self) -> None:
        key = self._hot()
        value = self._value() if self._draw.random() < 0.85 else None
        expect, wanted = self._expectation(key)
        op = self._op("cas", key, value=value, expect=expect)

        def act() -> None:
            answer = self._client.cas(key, value, wanted)
            op.revision, op.done = answer.revision, answer.succeeded
            if not answer.succeeded:
                op.told, op.found = True, _item(answer.current)
            elif answer.current is not None:
                op.version = answer.current.version

        self._do(op, act)

    def _delete(self) -> None:
        op = self._op("delete", self._hot())

        def act() -> None:
            answer = self._client.delete(op.key)
            op.revision, op.done = answer.revision, answer.deleted

        self._do(op, act)

    def _batch(self) -> None:
        keys = self._draw.sample(range(HOT_KEYS), self._draw.randint(2, 3))
        pairs: list[tuple[bytes, bytes | None]] = [
            (b"hot/%d" % key, self._value() if self._draw.random() < 0.8 else None) for key in keys
        ]
        op = self._op("batch", b"")
        op.operations = tuple(pairs)

        def act() -> None:
            answer = self._client.batch(pairs)
            op.revision, op.versions = answer.revision, tuple(answer.versions)

        self._do(op, act)

    def _txn(self) -> None:
        keys = [b"hot/%d" % number for number in range(HOT_KEYS)]
        op = self._op("txn", b"")
        op.txn = txn = transactions.drawn(self._draw, keys, self._seen, self._value())

        def act() -> None:
            answer = self._client.txn(
                when=transactions.compares(txn),
                then=transactions.operations(txn.then),
                otherwise=transactions.operations(txn.otherwise),
            )
            op.revision, op.done = answer.revision, answer.succeeded
            op.branch = transactions.branch(txn, answer.succeeded, answer.responses)

        self._do(op, act)

    def _past(self) -> None:
        """A hot key as it was; what is compacted by now is refused, which is a failure."""
        op = self._op("get", self._hot())
        op.at = at = max(1, self._book.revision - self._draw.randrange(300))

        def act() -> None:
            answer = self._client.get(op.key, revision=at)
            op.revision = answer.revision
            op.found = _item(answer.kv)

        if self._book.revision:
            self._do(op, act)

    # -- how ------------------------------------------------------------------------------------

    def _op(
        self, kind: str, key: bytes, value: bytes | None = None, expect: Expect | None = None
    ) -> Op:
        return Op(kind, key, 0.0, client=self._name, value=value, expect=expect)

    def _do(self, op: Op, act: Callable[[], None]) -> None:
        self.pending = op
        self._book.do(op, act)
        self.pending = None

    def _hot(self) -> bytes:
        return b"hot/%d" % self._draw.randrange(HOT_KEYS)

    def _value(self) -> bytes:
        self._count += 1
        return b"%s.%d" % (self._name.encode(), self._count)

    def _expectation(self, key: bytes) -> tuple[Expect, kv.Expect]:
        seen = self._seen.get(key)
        if seen is None or self._draw.random() < 0.2:
            return Expect("absent"), kv.expect_absent()
        kind = self._draw.randrange(3)
        if kind == 0:
            return Expect("value", seen.value), kv.expect_value(seen.value)
        if kind == 1:
            return Expect("version", number=seen.version), kv.expect_version(seen.version)
        mod = seen.mod_revision
        return Expect("mod_revision", number=mod), kv.expect_mod_revision(mod)


def _shown(pair: kv.KeyValue) -> Item:
    return Item(pair.value, pair.version, pair.mod_revision)


def _item(pair: kv.KeyValue | None) -> Item | None:
    return _shown(pair) if pair is not None else None


def main() -> int:
    arguments = _parser().parse_args()
    endpoints: list[str] = arguments.endpoints.split(",")
    stop = threading.Event()
    with Path(arguments.out).open("w") as out:
        book = Book(out)
        callers: list[Caller] = []
        for number in range(arguments.mixed + arguments.readers):
            reads = number >= arguments.mixed
            at = (arguments.number + number) % len(endpoints)
            known = [endpoints[at]] if reads else endpoints  # readers start where they may be wrong
            name = f"{arguments.number}{'r' if reads else 'c'}{number}"
            client = Client(known, timeout=CALL_SECONDS)
            seed = f"{arguments.seed} {name}"
            callers.append(Caller(name, client, book, seed, reads=reads, own=arguments.own))
        company = Company(arguments, endpoints, book)
        threads = [
            threading.Thread(target=caller.run, args=(stop,), daemon=True) for caller in callers
        ]
        for thread in threads:
            thread.start()
        company.start()
        flusher = threading.Thread(target=_flush, args=(book, stop), daemon=True)
        flusher.start()
        sys.stdin.readline()
        stop.set()
        company.rest()
        hung = _finish(threads, callers, book)
        Path(arguments.out).with_suffix(RESTED).touch()
        sys.stdin.read()
        code = company.finish() or hung
        book.flush()
        for caller in callers:
            caller.close()
        return code


def _flush(book: Book, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        book.flush()


def _finish(threads: list[threading.Thread], callers: list[Caller], book: Book) -> int:
    """0: every call came back. 3: some did not, in three times their time."""
    deadline = time.monotonic() + 3 * CALL_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hung = 0
    for caller, thread in zip(callers, threads):
        pending = caller.pending
        if thread.is_alive() and pending is not None:
            hung += 1
            pending.ret, pending.outcome = INFINITY, "unknown"
            book.write(pending)
            print(f"never came back: {pending}", file=sys.stderr)
    book.flush()
    return 3 if hung else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.worker", description=__doc__)
    parser.add_argument("--endpoints", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--mixed", type=int, default=4)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--watchers", type=int, default=0)
    parser.add_argument("--holders", type=int, default=0, help="of locks; as many of leases")
    parser.add_argument("--own", type=int, default=4, help="how often keys of one's own")
    return parser


if __name__ == "__main__":
    sys.exit(main())
