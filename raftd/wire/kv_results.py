"""What the built-in store answers, as plain values. Their truth value is the answer's yes or no.

A tuple would always be true: two programs that write `if client.cas(...)` would both hold the lock.
"""

from __future__ import annotations

from typing import NamedTuple


class KeyValue(NamedTuple):
    """lease: 0 for none, and in answers that do not tell."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class PutResult(NamedTuple):
    """revision: the store's after the put, and the key's mod_revision. version: the key's."""

    revision: int
    version: int


class DeleteResult(NamedTuple):
    """deleted: False if there was no such key; nothing changed then, the revision neither.

    Its truth value is `deleted`.
    """

    revision: int
    deleted: bool

    def __bool__(self) -> bool:
        return self.deleted


class CasResult(NamedTuple):
    """current: after success the key as it is now, its value left empty (None if deleted);

    after failure what is there. Its truth value is `succeeded`.
    """

    revision: int
    succeeded: bool
    current: KeyValue | None

    def __bool__(self) -> bool:
        return self.succeeded


class BatchResult(NamedTuple):
    """versions: per operation the key's version after it, 0 after a delete."""

    revision: int
    versions: list[int]


class GetResult(NamedTuple):
    """kv: None if there is no such key. Its truth value says whether there is."""

    revision: int
    kv: KeyValue | None

    def __bool__(self) -> bool:
        return self.kv is not None

    @property
    def value(self) -> bytes | None:
        """None if there is no such key."""
        return None if self.kv is None else self.kv.value

    @property
    def version(self) -> int:
        """How often the key was put since it was made; 0 if it is not there."""
        return 0 if self.kv is None else self.kv.version

    @property
    def mod_revision(self) -> int:
        """Of the key's last put; 0 if it is not there: expect_mod_revision takes it as it is."""
        return 0 if self.kv is None else self.kv.mod_revision


class RangeResult(NamedTuple):
    """kvs: in byte order of their keys. more: go on with after = the last key.

    Its truth value says whether there are any keys.
    """

    revision: int
    kvs: list[KeyValue]
    more: bool

    def __bool__(self) -> bool:
        return bool(self.kvs)
