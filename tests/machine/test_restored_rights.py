"""Who may what while a snapshot is restored, on a thread of its own: all of one state, always."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.rpc.clients.callers import Callers, NotTrusted
from raftd.wire.auth import Access, Kind, encode_auth
from raftd.wire.principal import NOBODY

READ = bytes((Access.READ,))


def _store(*more: tuple[Kind, tuple[bytes, ...]]) -> KvStore:
    """ann may read a; auth is on."""
    made = KvStore()
    for kind, fields in (
        (Kind.USER_ADD, (b"root", b"")),
        (Kind.USER_GRANT, (b"root", b"root")),
        (Kind.ROLE_ADD, (b"reads",)),
        (Kind.ROLE_GRANT, (b"reads", READ, b"a", b"")),
        (Kind.USER_ADD, (b"ann", b"")),
        (Kind.USER_GRANT, (b"ann", b"reads")),
        (Kind.ENABLE, (bytes(32),)),
        *more,
    ):
        made.apply(encode_auth(kind, *fields))
    return made


@contextmanager
def _at_every_line(look: Callable[[], None]) -> Iterator[None]:
    """What another thread sees that comes in between, wherever that is."""

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if "/machine/kv/" not in frame.f_code.co_filename:
            return None
        look()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_nobody_is_let_in_and_nobody_loses_a_right_while_a_snapshot_is_restored() -> None:
    """Nobody was an operator while users and roles came one after the other; and who was looked up
    when the users had come and the roles had not could do nothing from then on, on that node alone.
    """
    store = _store()
    taken, ann = b"".join(store.capture()), store.auth.principal_of("ann")
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        with pytest.raises(MachineError, match="user name is empty"):
            store.auth.rights_of(NOBODY)
        assert store.auth.rights_of(ann).may_read(b"a")

    with _at_every_line(look):
        store.restore(io.BytesIO(taken))
    assert looks > 50
    assert store.auth.rights_of(ann).may_read(b"a")


def test_who_is_deleted_in_the_snapshot_is_known_or_not_trusted() -> None:
    """Between two looks at the users another state may have taken their place: that raised an error
    which nobody declared.
    """
    store, later = _store(), _store((Kind.USER_DELETE, (b"ann",)))
    callers, taken = Callers(store.auth), b"".join(later.capture())
    token = callers.token_for("ann", store.auth.users["ann"].serial)
    left = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if frame.f_code.co_name != "principal_of":
            return None
        left -= 1
        if left == 0:
            sys.settrace(None)
            store.restore(io.BytesIO(taken))
            return None
        return trace

    seen: set[bytes] = set()
    for line in range(1, 30):
        store.restore(io.BytesIO(b"".join(_store().capture())))
        left = line
        sys.settrace(trace)
        try:
            seen.add(callers.principal_of({"token": token}))
        except NotTrusted:
            seen.add(b"")
        finally:
            sys.settrace(None)
    assert b"" in seen
    assert len(seen) == 2, "of one state or of the other"
