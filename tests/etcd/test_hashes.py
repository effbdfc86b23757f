"""HashKV goes over all keys, however large their values are."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv import transactions
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineError
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller
from raftd.rpc.etcd.faults import Fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.maintenance import MaintenanceService
from raftd.rpc.etcd.translate import refused
from raftd.wire import kv
from raftd.wire.principal import NOBODY
from tests.rpc.fakes import FakeNode


class StoreAlone:
    """A backend without a cluster behind it."""

    def __init__(self) -> None:
        self.store = KvStore()
        self.reads = 0

    async def read(self, query: bytes, serializable: bool, principal: bytes = NOBODY) -> bytes:
        self.reads += 1
        try:
            return self.store.query(query)
        except MachineError as error:
            raise refused(str(error).encode()) from None


def hash_of(backend: StoreAlone) -> int:
    node = FakeNode("n1")
    service = MaintenanceService(
        cast(Any, node), cast(Backend, backend), Headers(node), backend.store
    )
    request, caller = pb.HashKVRequest(), cast(Caller, None)
    answer = asyncio.run(service.HashKV(request, caller))
    return int(answer.hash)


def test_large_values_are_hashed_in_smaller_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The story without it: with 40 values of 1 MiB every hash ended at `request is too large`."""
    backend = StoreAlone()
    for number in range(300):
        backend.store.apply(kv.encode_put(b"k%03d" % number, bytes(number)))
    whole, reads = hash_of(backend), backend.reads
    monkeypatch.setattr(transactions, "READ_BYTES_MAX", 900)
    assert hash_of(backend) == whole
    assert reads < backend.reads < 2000
    backend.store.apply(kv.encode_put(b"k007", b"another"))
    assert hash_of(backend) != whole
    monkeypatch.setattr(transactions, "READ_BYTES_MAX", 200)
    with pytest.raises(Fault, match="request is too large"):
        hash_of(backend)  # one key alone does not fit: there is an end
