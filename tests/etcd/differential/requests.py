"""Seeded random requests. They depend on the seed and on the answers, alike on both sides.

What is not drawn, because etcd 3.4 does something else on purpose or by mistake, is in DIFFERENCES
of `compare.py`, each with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd import checks, translate
from raftd.rpc.etcd.faults import Fault

KEYS = (
    b"a",
    b"ab",
    b"abc",
    b"b",
    b"b\xff",
    b"c",
    b"k1",
    b"k2",
    b"k3",
    b"z",
    b"\xff",
    b"\0",
)
VALUES = (b"", b"0", b"1", b"2", b"x" * 100, b"\0\xff")
LEASES = (1, 2, 3, 77, 2**62)
HISTORY = 40
ORDERS: tuple[Any, ...] = (pb.RangeRequest.NONE, *pb.RangeRequest.SortOrder.values())
TARGETS: tuple[Any, ...] = (pb.RangeRequest.KEY, *pb.RangeRequest.SortTarget.values())
FILTERS: tuple[list[Any], ...] = (
    [],
    [],
    [],
    [pb.WatchCreateRequest.NOPUT],
    [pb.WatchCreateRequest.NODELETE],
)


@dataclass(slots=True)
class Seen:
    """What both sides have said so far."""

    revision: int = 1
    compacted: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. service, name: the method."""

    service: str
    name: str
    request: Any


class Requests:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.seen = Seen()
        draws = (
            (30, self._put),
            (25, self._range),
            (20, self._txn),
            (9, self._delete),
            (1, self._compact),
            (5, self._grant),
            (3, self._revoke),
            (3, self._time_to_live),
            (2, self._leases),
            (2, self._renew),
        )
        self._draws = [draw for _, draw in draws]
        self._weights = [weight for weight, _ in draws]

    def next(self) -> Asked:
        (draw,) = self._random.choices(self._draws, self._weights)
        return draw()

    # --- parts ----------------------------------------------------------------------------------

    def key(self, may_be_empty: bool = True) -> bytes:
        if may_be_empty and self._random.random() < 0.01:
            return b""
        return self._random.choice(KEYS)

    def end(self, key: bytes) -> bytes:
        draw = self._random.random()
        if draw < 0.4:
            return b""
        if draw < 0.5:
            return b"\0"
        if draw < 0.8 and key and key[-1] < 255:
            return key[:-1] + bytes((key[-1] + 1,))
        return self._random.choice(KEYS)

    def revision(self) -> int:
        draw = self._random.random()
        now = self.seen.revision
        if draw < 0.6:
            return 0
        if draw < 0.9:
            return max(1, now - self._random.randrange(HISTORY))
        return self._random.choice((now, now + 1, now + 9, 1, self.seen.compacted))

    def bound(self) -> int:
        draw = self._random.random()
        if draw < 0.8:
            return 0
        return self._random.choice((self.seen.revision, self.seen.revision - 7, 2, -3, 10**6))

    # --- requests -------------------------------------------------------------------------------

    def range_request(self) -> pb.RangeRequest:
        key = self.key()
        order, target = self._random.choice(ORDERS), self._random.choice(TARGETS)
        if order == pb.RangeRequest.NONE:
            target = pb.RangeRequest.KEY
        return pb.RangeRequest(
            key=key,
            range_end=self.end(key),
            limit=self._random.choice((0, 0, 0, 1, 2, 3, 100, -1)),
            revision=self.revision(),
            sort_order=order,
            sort_target=target,
            serializable=self._random.random() < 0.2,
            keys_only=self._random.random() < 0.1,
            count_only=self._random.random() < 0.1,
            min_mod_revision=self.bound(),
            max_mod_revision=self.bound(),
            min_create_revision=self.bound(),
            max_create_revision=self.bound(),
        )

    def put_request(self, in_txn: bool = False) -> pb.PutRequest:
        draw = self._random.random
        lease = self._random.choice(LEASES) if draw() < 0.2 else 0
        ignores = in_txn or not lease
        return pb.PutRequest(
            key=self.key(),
            value=self._random.choice(VALUES),
            lease=lease,
            prev_kv=draw() < 0.3,
            ignore_value=draw() < 0.05 and ignores,
            ignore_lease=draw() < 0.05 and ignores,
        )

    def delete_request(self, in_txn: bool = False) -> pb.DeleteRangeRequest:
        key = self.key()
        end = self.end(key)
        if in_txn and end == b"\0":
            end = b""
        return pb.DeleteRangeRequest(key=key, range_end=end, prev_kv=self._random.random() < 0.3)

    def compare(self) -> pb.Compare:
        key = self.key()
        target: Any = self._random.choice(pb.Compare.CompareTarget.values())
        result: Any = self._random.choice(pb.Compare.CompareResult.values())
        compare = pb.Compare(
            key=key,
            result=result,
            target=target,
            range_end=self.end(key) if self._random.random() < 0.2 else b"",
        )
        near = max(0, self.seen.revision - self._random.randrange(HISTORY))
        if target == pb.Compare.VERSION:
            compare.version = self._random.randrange(4)
        elif target == pb.Compare.CREATE:
            compare.create_revision = self._random.choice((0, near))
        elif target == pb.Compare.MOD:
            compare.mod_revision = self._random.choice((0, near))
        elif target == pb.Compare.VALUE:
            compare.value = self._random.choice(VALUES)
        else:
            compare.lease = self._random.choice((0, *LEASES))
        return compare

    def txn_request(self, depth: int = 0) -> pb.TxnRequest:
        draw = self._random.randrange
        return pb.TxnRequest(
            compare=[self.compare() for _ in range(draw(3))],
            success=[self.operation(depth) for _ in range(draw(4))],
            failure=[self.operation(depth) for _ in range(draw(4))],
        )

    def operation(self, depth: int) -> pb.RequestOp:
        draw = self._random.random()
        if draw < 0.01:
            return pb.RequestOp()
        if draw < 0.45:
            return pb.RequestOp(request_put=self.put_request(in_txn=True))
        if draw < 0.75:
            return pb.RequestOp(request_range=self.range_request())
        if draw < 0.9 or depth > 1:
            return pb.RequestOp(request_delete_range=self.delete_request(in_txn=True))
        return pb.RequestOp(request_txn=self.txn_request(depth + 1))

    def _put(self) -> Asked:
        return Asked("KV", "Put", self.put_request())

    def _range(self) -> Asked:
        return Asked("KV", "Range", self.range_request())

    def _txn(self) -> Asked:
        request = self.txn_request()
        while _differs_by_rule(request):
            request = self.txn_request()
        return Asked("KV", "Txn", request)

    def _delete(self) -> Asked:
        return Asked("KV", "DeleteRange", self.delete_request())

    def _compact(self) -> Asked:
        revision = self._random.choice(
            (
                self.seen.revision - self._random.randrange(HISTORY),
                self.seen.revision,
                self.seen.revision + 3,
                self.seen.compacted,
            )
        )
        request = pb.CompactionRequest(revision=max(1, revision), physical=True)
        return Asked("KV", "Compact", request)

    def _grant(self) -> Asked:
        ttl = self._random.choice((5000, 6000, 7000, 9_000_000_001))
        return Asked(
            "Lease", "LeaseGrant", pb.LeaseGrantRequest(TTL=ttl, ID=self._random.choice(LEASES))
        )

    def _revoke(self) -> Asked:
        lease = self._random.choice((*LEASES, 99))
        return Asked("Lease", "LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))

    def _time_to_live(self) -> Asked:
        lease, keys = self._random.choice((*LEASES, 99)), self._random.random() < 0.7
        return Asked("Lease", "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease, keys=keys))

    def _leases(self) -> Asked:
        return Asked("Lease", "LeaseLeases", pb.LeaseLeasesRequest())

    def _renew(self) -> Asked:
        lease = self._random.choice((*LEASES, 99))
        return Asked("Lease", "LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=lease))

    def watch(self) -> pb.WatchCreateRequest:
        key = self.key()
        filters = self._random.choice(FILTERS)
        start = max(0, self.revision())
        if start == self.seen.compacted:
            start = 0
        return pb.WatchCreateRequest(
            key=key,
            range_end=self.end(key),
            start_revision=start,
            prev_kv=self._random.random() < 0.4,
            filters=filters,
        )


def _differs_by_rule(request: pb.TxnRequest) -> bool:
    """Does raftd alone see a key that is written twice?"""
    try:
        checks.check_txn(request)
    except Fault:
        return False
    try:
        translate.encoded(translate.txn_op(request))
    except Fault:
        return True
    return False
