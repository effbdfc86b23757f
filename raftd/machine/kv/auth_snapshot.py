"""Users, roles and permissions in a snapshot of the store [frozen format, little-endian].

block       enabled u8, auth revision u64, secret length u8, secret,
            users u32, per user in order of names: serial u64, hash length u16, roles u16,
            name length u16, name, hash, per role: length u16, name
            roles u32, per role in order of names: permissions u32, name length u16, name,
            per permission: access u8, key length u16, range_end length u16, key, range_end
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from struct import Struct
from struct import error as StructError
from typing import Final

from raftd.machine.kv.auth import FIRST_REVISION, Auth, Held, User
from raftd.machine.kv.permissions import Permission
from raftd.machine.protocol import SnapshotFormatError
from raftd.wire.auth import Access

HEAD: Final = Struct("<BQB")
COUNT: Final = Struct("<I")
USER: Final = Struct("<QHHH")
ROLE: Final = Struct("<IH")
NAME: Final = Struct("<H")
PERMISSION: Final = Struct("<BHH")


def dump(auth: Auth) -> bytes:
    """The block. It is asked for every few seconds, on the thread that sends heartbeats, and made
    once for each change.
    """
    if auth.dumped is None:
        auth.dumped = _dumped(auth)
    return auth.dumped


def _dumped(auth: Auth) -> bytes:
    parts = [HEAD.pack(auth.enabled, auth.revision, len(auth.secret)), auth.secret]
    parts.append(COUNT.pack(len(auth.users)))
    for name, user in sorted(auth.users.items()):
        encoded = name.encode()
        sizes = len(user.hash), len(user.roles), len(encoded)
        parts += (USER.pack(user.serial, *sizes), encoded, user.hash)
        for role in user.roles:
            parts += (NAME.pack(len(role.encode())), role.encode())
    parts.append(COUNT.pack(len(auth.roles)))
    for name, permissions in sorted(auth.roles.items()):
        encoded = name.encode()
        parts += (ROLE.pack(len(permissions), len(encoded)), encoded)
        for key, range_end, access in permissions:
            parts += (PERMISSION.pack(access, len(key), len(range_end)), key, range_end)
    return b"".join(parts)


def load(block: bytes) -> Held:
    """The inverse of `dump`. Raises SnapshotFormatError."""
    held, reader = Held(), _Reader(block)
    try:
        enabled, held.revision, secret_bytes = reader.take(HEAD)
        if enabled > 1 or held.revision == FIRST_REVISION:
            raise ValueError(f"switch {enabled}, revision {held.revision}")
        held.enabled, held.secret = enabled != 0, reader.bytes(secret_bytes)
        for _ in range(*reader.take(COUNT)):
            serial, hash_bytes, roles, name_bytes = reader.take(USER)
            name = reader.bytes(name_bytes).decode()
            user = held.users[name] = User(reader.bytes(hash_bytes), serial)
            user.roles = [reader.bytes(*reader.take(NAME)).decode() for _ in range(roles)]
            _check_order("roles of a user", user.roles)
        _check_order("users", list(held.users))
        for _ in range(*reader.take(COUNT)):
            permissions, name_bytes = reader.take(ROLE)
            name = reader.bytes(name_bytes).decode()
            held.roles[name] = [_permission(reader) for _ in range(permissions)]
            _check_order("permissions", [each[:2] for each in held.roles[name]])
        _check_order("roles", list(held.roles))
    except (StructError, ValueError) as error:
        why = " ".join(str(error).split())
        raise SnapshotFormatError(f"key-value snapshot: users and roles: {why}") from None
    if reader.at != len(block):
        raise SnapshotFormatError("key-value snapshot: more bytes after users and roles")
    return held


def _check_order(what: str, names: Sequence[object]) -> None:
    """Equal states have equal bytes, so what is read has to be in the one order."""
    if any(not before < after for before, after in pairwise(names)):  # type: ignore[operator]
        raise ValueError(f"{what} out of order")


def _permission(reader: _Reader) -> Permission:
    access, key_bytes, end_bytes = reader.take(PERMISSION)
    return Permission(reader.bytes(key_bytes), reader.bytes(end_bytes), Access(access))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, head: Struct) -> tuple[int, ...]:
        fields = head.unpack_from(self._data, self.at)
        self.at += head.size
        return fields

    def bytes(self, size: int) -> bytes:
        part = self._data[self.at : self.at + size]
        if len(part) != size:
            raise ValueError("they end too early")
        self.at += size
        return part
