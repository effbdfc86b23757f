"""The kit passes the machines of the house and catches every fault that it says it catches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pytest

from examples.counter import Counter
from raftd.machine.kit import MachineCheckFailed, check_machine
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.wire import kv
from tests.machine.models import random_commands

NUMBERS = [b"1", b"20", b"x", b"-3", b"400"]


def test_the_built_in_store_may_be_replicated() -> None:
    queries = [kv.encode_get(b"k01"), kv.encode_range(b"k", 5), b"?"]
    check_machine(KvStore, random_commands(7, 120), queries, prefixes=12)


def test_the_example_may_be_replicated() -> None:
    check_machine(Counter, NUMBERS, [b""])
    check_machine(Counter, [])


class List:
    """A sound machine to spoil: keeps its commands."""

    def __init__(self) -> None:
        self.items: list[bytes] = []

    def apply(self, command: bytes) -> bytes:
        if command == b"x":
            raise MachineError("x")
        self.items.append(command)
        return b"%d" % len(self.items)

    def query(self, request: bytes) -> bytes:
        return b"%d" % len(self.items)

    def capture(self) -> Iterable[bytes]:
        return [item + b"\n" for item in self.items]

    def restore(self, reader: BinaryIO) -> None:
        self.items = reader.read().splitlines()


class Impatient(List):
    def apply(self, command: bytes) -> bytes:
        self.items.append(command)
        if command == b"x":
            raise MachineError("x")
        return b""


class Random(List):
    draws = itertools.count()

    def apply(self, command: bytes) -> bytes:
        return super().apply(command) + b"%d" % next(self.draws)


class SecretlyRandom(List):
    draws = itertools.count()

    def capture(self) -> Iterable[bytes]:
        return [*super().capture(), b"%d" % next(self.draws)]


class Crashing(List):
    def apply(self, command: bytes) -> bytes:
        return b"%d" % int(command)


class Stringly(List):
    def apply(self, command: bytes) -> bytes:
        return "yes"  # type: ignore[return-value]


class Curious(List):
    def query(self, request: bytes) -> bytes:
        self.items.append(b"asked")
        return b""


class BadQuery(List):
    def query(self, request: bytes) -> bytes:
        raise KeyError(request)


class Forgetful(List):
    def __init__(self) -> None:
        super().__init__()
        self.sum = 0

    def apply(self, command: bytes) -> bytes:
        answer = super().apply(command)
        self.sum += len(command)
        return answer + b"%d" % self.sum


class Adding(List):
    def restore(self, reader: BinaryIO) -> None:
        self.items += reader.read().splitlines()


class Lazy(List):
    def restore(self, reader: BinaryIO) -> None:
        self.items = [line for line in [reader.readline().rstrip()] if line]


class Unrestorable(List):
    def restore(self, reader: BinaryIO) -> None:
        raise OSError("cannot")


class Live(List):
    def capture(self) -> Iterator[bytes]:
        for item in self.items:
            yield item + b"\n"


class LiveDict(List):
    def capture(self) -> Iterator[bytes]:
        for item in dict.fromkeys(self.items):
            yield item + b"\n"
        self.items.sort()


class Lumpy(List):
    def capture(self) -> Iterable[bytes]:
        return [bytes(3 << 20)]


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        (Impatient, "refused but changed the state"),
        (Random, "by another"),
        (SecretlyRandom, "changed the state|byte for byte"),
        (Crashing, "ValueError"),
        (Stringly, "str, not bytes"),
        (Curious, "queries after command 0 changed the state"),
        (BadQuery, "query b'q' raised KeyError"),
        (Forgetful, "another answer now"),
        (Adding, "restored into a machine in use: captured again"),
        (Lazy, "left bytes unread"),
        (Unrestorable, "restore raised OSError: cannot"),
        (Live, "shows"),
        (LiveDict, "disturbed|shows|byte|changed|differ|has other bytes"),
        (Lumpy, "cut it smaller"),
    ],
)
def test_an_unsound_machine_is_caught_and_told_why(machine: type[List], names: str) -> None:
    with pytest.raises(MachineCheckFailed, match=names) as caught:
        check_machine(machine, NUMBERS, [b"q"])
    assert "\n" not in str(caught.value)


def test_the_sound_one_passes() -> None:
    check_machine(List, NUMBERS, [b"q"])
