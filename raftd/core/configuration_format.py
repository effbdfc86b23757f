"""The bytes of a configuration: in the log, in a snapshot's description, in a message.

Version 1 is two lines of text, voters and learners, ids joined by commas. Version 2 starts with a
zero byte, which no text does:

    0 u8 | 2 u8 | members u16 | retired u16 | members ... | retired ids, each: length u8, id
    member: length of the rest u16 | standing u8 | fields, each: tag u8, length u16, value

Integers are little-endian; members lie in the order of their ids, fields in that of their tags.
A field whose tag this version does not know is kept as it is, so a newer raftd can add one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from raftd.core.types import Configuration, Member, NodeId

VERSION = 2
RETIRED_MAX = 1024
"""Ids that a configuration remembers as gone; the oldest is forgotten after that."""

_HEAD = struct.Struct("<BBHH")
_MEMBER = struct.Struct("<HB")
_FIELD = struct.Struct("<BH")

_VOTER, _OUTGOING, _LEARNER = 1, 2, 4
_STANDINGS = frozenset({_VOTER, _OUTGOING, _LEARNER, _VOTER | _OUTGOING, _OUTGOING | _LEARNER})

_ID, _PEER, _CLIENT, _INCARNATION, _MOVED = 1, 2, 3, 4, 5
"""The tags are in the disk and wire formats: never reuse one."""


def encode_configuration(configuration: Configuration) -> bytes:
    """The payload of a CONFIGURATION entry, always in the present version."""
    names = sorted(configuration.members())
    parts = [_HEAD.pack(0, VERSION, len(names), len(configuration.retired))]
    for name in names:
        fields = b"".join(_fields(configuration.member(name)))
        parts.append(_MEMBER.pack(1 + len(fields), _standing(configuration, name)) + fields)
    parts.extend(bytes((len(name.encode()),)) + name.encode() for name in configuration.retired)
    return b"".join(parts)


def _standing(configuration: Configuration, node: NodeId) -> int:
    voter = _VOTER if node in configuration.voters else 0
    outgoing = _OUTGOING if node in configuration.outgoing else 0
    learner = _LEARNER if node in configuration.learners else 0
    return voter | outgoing | learner


def _fields(member: Member) -> Iterator[bytes]:
    known = [(_ID, member.node), (_PEER, member.peer_address), (_CLIENT, member.client_address)]
    known.append((_INCARNATION, member.incarnation))
    for tag, text in known:
        if text:
            yield _field(tag, text.encode())
    if member.moved:
        yield _field(_MOVED, b"")
    for tag, value in member.more:
        yield _field(tag, value)


def _field(tag: int, value: bytes) -> bytes:
    return _FIELD.pack(tag, len(value)) + value


def decode_configuration(payload: bytes) -> Configuration:
    """Raises ValueError unless `payload` is what some raftd up to this version writes."""
    if not payload.startswith(b"\0"):
        return _decode_text(payload)
    try:
        found = _Reader(payload).configuration()
    except (struct.error, UnicodeDecodeError, IndexError):
        raise ValueError(f"a configuration that is cut short: {payload[:32].hex()}") from None
    _check_order(found)
    if encode_configuration(found) != payload:
        raise ValueError(f"a configuration out of order: {payload[:32].hex()}")
    return found


def _check_order(found: Configuration) -> None:
    for names in (found.voters, found.learners, found.outgoing):
        if list(names) != sorted(set(names)) or "" in names:
            raise ValueError(f"members that are not sorted, or named twice: {','.join(names)}")
    if set(found.voters) & set(found.learners):
        raise ValueError("voters and learners overlap")
    if "" in found.retired:
        raise ValueError("a retired id that is empty")


def _decode_text(payload: bytes) -> Configuration:
    if not payload.isascii() or payload.count(b"\n") != 1:
        raise ValueError(f"not a configuration: {len(payload)} bytes {payload[:32].hex()}")
    voters, learners = payload.decode().split("\n")
    found = Configuration(
        tuple(v for v in voters.split(",") if v), tuple(v for v in learners.split(",") if v)
    )
    if _encode_text(found) != payload:
        raise ValueError(f"a configuration with an empty id: {payload[:32].hex()}")
    _check_order(found)
    return found


def _encode_text(configuration: Configuration) -> bytes:
    return (",".join(configuration.voters) + "\n" + ",".join(configuration.learners)).encode()


class _Reader:
    """Version 2. What contradicts the format raises ValueError, or what a short read raises."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def configuration(self) -> Configuration:
        _, version, members, retired = self._unpack(_HEAD)
        if version != VERSION:
            raise ValueError(
                f"a configuration of version {version}, this raftd knows up to {VERSION}: "
                "use a newer raftd"
            )
        found = [self._member() for _ in range(members)]
        names = tuple(self._take(self._take(1)[0]).decode() for _ in range(retired))
        if self._at != len(self._payload):
            raise ValueError("bytes after a configuration")
        return Configuration(
            voters=_those(found, _VOTER),
            learners=_those(found, _LEARNER),
            outgoing=_those(found, _OUTGOING),
            about=tuple(member for _, member in found if member != Member(member.node)),
            retired=names,
        )

    def _member(self) -> tuple[int, Member]:
        length, standing = self._unpack(_MEMBER)
        if standing not in _STANDINGS:
            raise ValueError(f"a member's standing is {standing}, which this raftd does not know")
        end = self._at + length - 1
        texts: dict[int, str] = {}
        moved, more = False, []
        while self._at < end:
            tag, size = self._unpack(_FIELD)
            value = self._take(size)
            if tag == _MOVED:
                moved = True
            elif tag < _MOVED:
                texts[tag] = value.decode()
            else:
                more.append((tag, value))
        member = Member(
            node=texts.get(_ID, ""),
            peer_address=texts.get(_PEER, ""),
            client_address=texts.get(_CLIENT, ""),
            incarnation=texts.get(_INCARNATION, ""),
            moved=moved,
            more=tuple(more),
        )
        return standing, member

    def _unpack(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self._take(form.size))

    def _take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._payload):
            raise IndexError
        return self._payload[self._at - size : self._at]


def _those(found: Sequence[tuple[int, Member]], standing: int) -> tuple[NodeId, ...]:
    return tuple(member.node for own, member in found if own & standing)
