"""Rules of leases, holds and compactions: what is wrong by times and numbers alone.

lease-kept      a lease ends only its time to live after its last renewal, or by a revocation
lease-ended     what has ended is not renewed, and no key is put under it
hold-exclusive  two do not hold the same thing at once
hold-fenced     no two holders have the same token, and later holders have greater ones
read-compacted  what had been compacted is not read

When a key goes that was put under a lease is judged with the revisions: the end of a lease is an
operation of nobody's, called when the lease may have ended at the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from raftd.check.model import Model
from raftd.check.operations import (
    COMPACT,
    GRANT,
    HOLD,
    INFINITY,
    OK,
    PUT,
    READS,
    RENEW,
    REVOKE,
    TXN,
    UNKNOWN,
    Op,
    compares_of,
    parts_of,
)  # fmt: skip
from raftd.check.timeline import Fault


def leases_of(op: Op) -> Iterator[tuple[int, bytes]]:
    """(lease, key) of what it puts, or may put, under a lease."""
    if op.kind == PUT and op.lease:
        yield op.lease, op.key
    elif op.txn is not None:
        for part in parts_of(op.txn, op.done):
            if part.lease:
                yield part.lease, part.key


def touch(ops: Iterable[Op], model: Model) -> None:
    """Note in transactions and revocations which keys they can touch."""
    under = _under(ops)
    for op in ops:
        if op.kind == REVOKE:
            op.keys = tuple(sorted(under.get(op.lease, ())))
        elif op.txn is not None:
            parts, compares = [*parts_of(op.txn)], [*compares_of(op.txn)]
            keys = {key for part in parts for key in _part_keys(part.key, part.prefix, model)}
            keys |= {key for one in compares for key in _part_keys(one.key, one.prefix, model)}
            for part in parts:
                if part.kind == "range":
                    keys.update(model.within(part.key))
            op.keys = tuple(sorted(keys))


def _part_keys(key: bytes, prefix: bool, model: Model) -> Sequence[bytes]:
    return model.within(key) if prefix else [key]


def named_by(op: Op) -> list[bytes]:
    """All keys that it names, before `touch`."""
    if op.kind == TXN and op.txn is not None:
        parts = [part.key for part in parts_of(op.txn) if not part.prefix and part.txn is None]
        return parts + [one.key for one in compares_of(op.txn) if not one.prefix]
    return [] if op.kind in (GRANT, RENEW, REVOKE, COMPACT) else op.named()


def _under(ops: Iterable[Op]) -> dict[int, set[bytes]]:
    under: dict[int, set[bytes]] = {}
    for op in ops:
        for lease, key in leases_of(op):
            under.setdefault(lease, set()).add(key)
    return under


def ends(ops: Sequence[Op], seen: Iterable[Op]) -> list[Op]:
    """For each lease with keys, that it may end by itself, and when at the earliest. seen: what
    watchers saw; leases that they saw end at one revision may do so together.
    """
    under, earliest = _under(ops), _earliest(ops)
    groups: set[tuple[int, ...]] = {(lease,) for lease in earliest if lease in under}
    lease_of = {key: lease for lease, keys in under.items() for key in keys}
    together: dict[int, set[int]] = {}
    for op in seen:
        if op.found is None and op.key in lease_of and lease_of[op.key] in earliest:
            together.setdefault(op.level, set()).add(lease_of[op.key])
    groups |= {tuple(sorted(leases)) for leases in together.values()}
    return [
        Op(
            REVOKE, b"", max(earliest[lease][0] for lease in leases), outcome=UNKNOWN,
            client="(the cluster)", lease=leases[0], also=leases[1:],
            ttl=earliest[leases[0]][1].ttl,
            keys=tuple(sorted(key for lease in leases for key in under[lease])),
        )
        for leases in sorted(groups)
    ]  # fmt: skip


def _earliest(ops: Iterable[Op]) -> dict[int, tuple[float, Op]]:
    """When each lease may have ended by itself, and by whose word: grants, renewals."""
    found: dict[int, tuple[float, Op]] = {}
    for op in ops:
        told = op.outcome == OK and (op.kind == GRANT or (op.kind == RENEW and op.done))
        if told or (op.kind == GRANT and op.outcome == UNKNOWN):
            end = op.call + op.ttl
            if end > found.get(op.lease, (-INFINITY, op))[0]:
                found[op.lease] = (end, op)
    return found


def broken(ops: Sequence[Op]) -> Fault | None:
    """The first rule that is, with the operations that show it."""
    return next((fault for look in (_leases, _holds, _past) for fault in look(ops)), None)


def _leases(ops: Sequence[Op]) -> Iterator[Fault]:
    earliest = _earliest(ops)
    revoked: dict[int, Op] = {}
    over: dict[int, Op] = {}
    for op in ops:
        if op.kind == REVOKE and op.outcome != "fail":
            first = revoked.setdefault(op.lease, op)
            revoked[op.lease] = min(first, op, key=lambda one: one.call)
        gone = op.kind == RENEW and op.outcome == OK and not op.done
        if gone or (op.kind == REVOKE and op.outcome == OK):
            first = over.setdefault(op.lease, op)
            over[op.lease] = min(first, op, key=lambda one: one.ret)
    for op in ops:
        alive = {op.lease} if op.kind == RENEW and op.done else {one for one, _ in leases_of(op)}
        for lease in alive if op.outcome == OK else ():
            if lease in over and over[lease].ret < op.call:
                yield Fault(f"lease-ended: lease {lease:x} had ended", [over[lease], op])
    for lease, op in over.items():
        end, word = earliest.get(lease, (-INFINITY, op))
        early = op.kind == RENEW or op.done is False
        by_hand = revoked.get(lease)
        if early and op.ret < end and (by_hand is None or by_hand is op or by_hand.call > op.ret):
            yield Fault(f"lease-kept: lease {lease:x} ended before {end:.6f}", [word, op])


def _holds(ops: Sequence[Op]) -> Iterator[Fault]:
    held: dict[bytes, list[Op]] = {}
    for op in ops:
        if op.kind == HOLD and op.outcome == OK:
            held.setdefault(op.key, []).append(op)
    for holds in held.values():
        holds.sort(key=lambda op: (op.call, op.ret))
        tokens: dict[int, Op] = {}
        last: Op | None = None
        for op in holds:
            other = tokens.setdefault(op.token, op)
            if other is not op:
                yield Fault(f"hold-fenced: two held it with token {op.token}", [other, op])
            if last is not None and op.call < last.ret:
                yield Fault("hold-exclusive: two held it at once", [last, op])
            if last is not None and op.token < last.token:
                yield Fault(f"hold-fenced: token {op.token} after {last.token}", [last, op])
            last = op if last is None or op.ret > last.ret else last


def _past(ops: Sequence[Op]) -> Iterator[Fault]:
    done = sorted(
        (op for op in ops if op.kind == COMPACT and op.outcome == OK), key=lambda op: op.ret
    )
    for op in ops:
        if op.kind in READS and op.at is not None and op.outcome == OK:
            for other in done:
                if other.ret < op.call and (other.at or 0) > op.at:
                    yield Fault(f"read-compacted: revision {op.at} was compacted", [other, op])
