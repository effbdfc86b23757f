"""What `raftd.client` offers by name, and answers as a program reads them first."""

from __future__ import annotations

import raftd.client
from raftd.wire import kv


def test_every_name_is_there_and_comes_when_asked_for() -> None:
    for name in raftd.client.__all__:
        assert getattr(raftd.client, name).__name__ == name


def test_a_value_that_is_read_is_at_hand_also_when_there_is_none() -> None:
    found = kv.GetResult(9, kv.KeyValue(b"lamp", b"on", 3, 7, 2))
    absent = kv.GetResult(9, None)
    assert (found.value, found.mod_revision, found.version) == (b"on", 7, 2)
    assert (absent.value, absent.mod_revision, absent.version) == (None, 0, 0)
