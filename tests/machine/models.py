"""The naive store that the real one is judged by, and random commands for both."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from raftd.wire import kv


@dataclass
class NaiveStore:
    """etcd's rules, written as plainly as can be; answers are the client's NamedTuples."""

    revision: int = 1
    keys: dict[bytes, kv.KeyValue] = field(default_factory=dict)

    def put(self, key: bytes, value: bytes) -> kv.PutResult:
        self.revision += 1
        self._store(key, value)
        return kv.PutResult(self.revision, self.keys[key].version)

    def delete(self, key: bytes) -> kv.DeleteResult:
        deleted = self.keys.pop(key, None) is not None
        self.revision += deleted
        return kv.DeleteResult(self.revision, deleted)

    def cas(self, key: bytes, value: bytes | None, expect: kv.Expect) -> kv.CasResult:
        there = self.keys.get(key)
        holds = {
            kv.ABSENT: there is None,
            kv.VALUE: there is not None and there.value == expect.value,
            kv.VERSION: (there.version if there else 0) == expect.number,
            kv.MOD_REVISION: (there.mod_revision if there else 0) == expect.number,
        }[expect.kind]
        if not holds:
            return kv.CasResult(self.revision, False, there)
        if value is None:
            self.delete(key)
            return kv.CasResult(self.revision, True, None)
        self.put(key, value)
        return kv.CasResult(self.revision, True, self.keys[key]._replace(value=b""))

    def batch(self, operations: list[tuple[bytes, bytes | None]]) -> kv.BatchResult:
        changes = any(value is not None or key in self.keys for key, value in operations)
        self.revision += changes
        versions = []
        for key, value in operations:
            if value is None:
                self.keys.pop(key, None)
                versions.append(0)
            else:
                self._store(key, value)
                versions.append(self.keys[key].version)
        return kv.BatchResult(self.revision, versions)

    def range(self, prefix: bytes, limit: int, after: bytes) -> kv.RangeResult:
        found = [
            self.keys[key] for key in sorted(self.keys) if key.startswith(prefix) and key > after
        ]
        limit = limit or kv.RANGE_LIMIT_DEFAULT
        return kv.RangeResult(self.revision, found[:limit], len(found) > limit)

    def _store(self, key: bytes, value: bytes) -> None:
        old = self.keys.get(key)
        created, version = (old.create_revision, old.version) if old else (self.revision, 0)
        self.keys[key] = kv.KeyValue(key, value, created, self.revision, version + 1)


def random_commands(seed: int, count: int, keys: int = 40) -> list[bytes]:
    """Commands of every kind, refused ones among them."""
    rng = random.Random(seed)

    def key() -> bytes:
        return b"k%02d" % rng.randrange(keys)

    def value() -> bytes:
        return rng.randbytes(rng.randrange(4))

    commands: list[bytes] = []
    for _ in range(count):
        draw = rng.random()
        if draw < 0.45:
            commands.append(kv.encode_put(key(), value()))
        elif draw < 0.65:
            commands.append(kv.encode_delete(key()))
        elif draw < 0.85:
            expect = rng.choice(
                [
                    kv.expect_absent(),
                    kv.expect_value(value()),
                    kv.expect_version(rng.randrange(4)),
                    kv.expect_mod_revision(rng.randrange(count)),
                ]
            )
            commands.append(kv.encode_cas(key(), rng.choice([None, value()]), expect))
        elif draw < 0.95:
            chosen = {key(): rng.choice([None, value()]) for _ in range(rng.randrange(6))}
            commands.append(kv.encode_batch_ops(list(chosen.items())))
        else:
            commands.append(rng.choice([b"", b"?", b"\x01\x00\x00", b"\x01\xff\xff" + key()]))
    return commands
