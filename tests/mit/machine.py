"""The built-in store with the labs' Append, and the model's idea of the same."""

from __future__ import annotations

from collections import Counter

from raftd.machine.kv.store import KvStore
from raftd.wire import kv
from tests.machine.naive import Naive
from tests.sim.model import Model

APPEND = 0xA0
"""A command of these tests only: a put's bytes behind this one."""


def encode_append(key: bytes, suffix: bytes) -> bytes:
    return bytes((APPEND,)) + kv.encode_put(key, suffix)


def _split(command: bytes) -> tuple[bytes, bytes]:
    size = kv.KEYED_HEAD.unpack_from(command, 1)[1]
    at = 1 + kv.KEYED_HEAD.size
    return command[at : at + size], command[at + size :]


class AppendStore(KvStore):
    """An append is answered as the put that it amounts to. No history is kept: the labs' limit of a
    snapshot is for the state alone.
    """

    def apply(self, command: bytes) -> bytes:
        if command[0] == APPEND:
            key, suffix = _split(command)
            found = kv.decode_get(self.query(kv.encode_get(key))).kv
            command = kv.encode_put(key, (found.value if found else b"") + suffix)
        answer = super().apply(command)
        self.history.compact(self.history.last)
        return answer


class AppendNaive(Naive):
    def execute(self, command: bytes) -> bytes:
        if command[0] != APPEND:
            return super().execute(command)
        key, suffix = _split(command)
        before = self.at(key, self.revision).value or b""
        return super().execute(kv.encode_put(key, before + suffix))


class AppendModel(Model):
    def __init__(self, stats: Counter[str]) -> None:
        super().__init__(stats, 10_000)
        self.store = AppendNaive()
