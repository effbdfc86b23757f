"""The built-in store as watches need it: `raftd.machine.kv.KvStore`, or a fake one in tests.

Network thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from raftd.wire.kv_results import KeyValue


class Change(Protocol):
    """kv None: the key was deleted. previous: what was there before, if the watcher wants it."""

    @property
    def key(self) -> bytes: ...

    @property
    def kv(self) -> KeyValue | None: ...

    @property
    def previous(self) -> KeyValue | None: ...


class Delivery(Protocol):
    """revisions: ascending, all of one together. revision: everything up to it was handed over.

    more: take again. compacted: not 0, the watcher has ended because its place is gone. goes_on:
    this is a part of one revision, and what is taken next belongs to it, too; there may be nothing
    to take before `on_ready` is called again, as long as `more` is not said.
    """

    @property
    def revisions(self) -> Sequence[tuple[int, Sequence[Change]]]: ...

    @property
    def revision(self) -> int: ...

    @property
    def more(self) -> bool: ...

    @property
    def compacted(self) -> int: ...

    @property
    def goes_on(self) -> bool: ...


class Taken(Protocol):
    """One watcher of the hub."""

    @property
    def progress(self) -> int:
        """The revision up to which everything was taken; 0 while there is more to take, or while
        it waits for a revision in the future.
        """
        ...

    def take(self, events_max: int, bytes_max: int) -> Delivery: ...

    def cancel(self) -> None: ...


class Hub(Protocol):
    @property
    def revision(self) -> int:
        """The store's, as far as watchers have been told."""
        ...

    def __len__(self) -> int:
        """The number of watchers there are."""
        ...

    def subscribe(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        on_ready: Callable[[], None],
        no_put: bool = False,
        no_delete: bool = False,
        prev_kv: bool = False,
    ) -> Taken: ...


class Quota(Protocol):
    @property
    def limit_bytes(self) -> int:
        """0: none."""
        ...


@runtime_checkable
class MeasuredStore(Protocol):
    """size_bytes: of keys, values and history; quick."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def quota(self) -> Quota: ...


@runtime_checkable
class WatchedStore(Protocol):
    """`capture`: the whole state as of this call, in chunks that any thread may ask for. Raises
    MachineError while a snapshot is restored.
    """

    @property
    def watches(self) -> Hub: ...

    @property
    def revision(self) -> int: ...

    def troubles(self) -> Sequence[str]: ...

    def capture(self) -> Iterable[bytes]: ...
