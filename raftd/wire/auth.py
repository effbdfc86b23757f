"""Users, roles and permissions: the commands that change them [frozen formats, little-endian].

    command   10 (AUTH), format u8 = 1, kind u8, then the kind's fields, each: length u16, bytes
    answer    10 (AUTH), format u8 = 1, the store's revision u64, the auth revision u64

What a kind's fields are stands in FIELDS. Names are UTF-8. A password never travels: the node that
was asked makes a hash of it first, with a salt that it drew, so applying is quick and the same
everywhere. Any thread, no I/O. Bad input or bad bytes: WireError, one line.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from raftd.wire.errors import WireError
from raftd.wire.kv import KEY_BYTES_MAX
from raftd.wire.principal import NAME_BYTES_MAX

AUTH: Final = 10
FORMAT: Final = 1

SECRET_BYTES: Final = 32
HASH_BYTES_MAX: Final = 256

HEAD: Final = Struct("<BBB")
LENGTH: Final = Struct("<H")
ANSWER: Final = Struct("<BBQQ")


class Kind(IntEnum):
    """What a command does."""

    ENABLE = 1
    DISABLE = 2
    USER_ADD = 3
    USER_DELETE = 4
    USER_PASSWORD = 5
    USER_GRANT = 6
    USER_REVOKE = 7
    ROLE_ADD = 8
    ROLE_DELETE = 9
    ROLE_GRANT = 10
    ROLE_REVOKE = 11


FIELDS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.ENABLE: ("secret",),
    Kind.DISABLE: (),
    Kind.USER_ADD: ("user", "hash"),
    Kind.USER_DELETE: ("user",),
    Kind.USER_PASSWORD: ("user", "hash"),
    Kind.USER_GRANT: ("user", "role"),
    Kind.USER_REVOKE: ("user", "role"),
    Kind.ROLE_ADD: ("role",),
    Kind.ROLE_DELETE: ("role",),
    Kind.ROLE_GRANT: ("role", "access", "key", "range_end"),
    Kind.ROLE_REVOKE: ("role", "key", "range_end"),
}
"""secret: random, of SECRET_BYTES: what tokens are signed with. hash: as the node made it; empty: a
user without a password. access: one byte, see Access."""


class Access(IntEnum):
    """What a permission allows, in etcd's numbers."""

    READ = 0
    WRITE = 1
    READWRITE = 2


class AuthCommand(NamedTuple):
    """kind, and its fields in the order of FIELDS."""

    kind: Kind
    fields: tuple[bytes, ...]


class AuthResult(NamedTuple):
    """revision: of the store. auth_revision: counts changes of users, roles and permissions."""

    revision: int
    auth_revision: int


def encode_auth(kind: Kind, *fields: bytes) -> bytes:
    """The command. Raises WireError if a field is over its limit."""
    _check(kind, fields)
    parts = [HEAD.pack(AUTH, FORMAT, kind)]
    for field in fields:
        parts += (LENGTH.pack(len(field)), field)
    return b"".join(parts)


def decode_auth(command: bytes) -> AuthCommand:
    """The inverse of `encode_auth`."""
    if len(command) < HEAD.size or command[:2] != bytes((AUTH, FORMAT)):
        raise WireError(f"auth: starts with {command[:3].hex()}, this program reads {FORMAT}")
    try:
        kind = Kind(command[2])
    except ValueError:
        raise WireError(f"auth: kind {command[2]} is unknown to this program") from None
    fields, at = [], HEAD.size
    try:
        for _ in FIELDS[kind]:
            (size,) = LENGTH.unpack_from(command, at)
            at += LENGTH.size
            fields.append(command[at : at + size])
            at += size
    except StructError:
        at = -1
    if at != len(command):
        raise WireError(f"auth: it does not end at byte {len(command)}, where it should")
    made = tuple(fields)
    _check(kind, made)
    return AuthCommand(kind, made)


def encode_auth_answer(revision: int, auth_revision: int) -> bytes:
    return ANSWER.pack(AUTH, FORMAT, revision, auth_revision)


def decode_auth_answer(answer: bytes) -> AuthResult:
    if len(answer) != ANSWER.size or answer[:2] != bytes((AUTH, FORMAT)):
        raise WireError(f"not the answer to an auth command: {answer[:16].hex()}")
    _, _, revision, auth_revision = ANSWER.unpack(answer)
    return AuthResult(revision, auth_revision)


def _check(kind: Kind, fields: tuple[bytes, ...]) -> None:
    names = FIELDS[kind]
    if len(fields) != len(names):
        raise WireError(f"auth: {kind.name} has {len(names)} fields, not {len(fields)}")
    for name, field in zip(names, fields, strict=True):
        least, most = _SIZES[name]
        if not least <= len(field) <= most:
            raise WireError(f"auth: {name} of {len(field)} bytes, must be {least} to {most}")
        if name in ("user", "role"):
            try:
                field.decode()
            except UnicodeDecodeError:
                raise WireError(f"auth: {name} {field[:64]!r} is not UTF-8") from None
        elif name == "access" and field[0] > max(Access):
            raise WireError(f"auth: access {field[0]} is unknown to this program")


_SIZES: Final = {
    "secret": (SECRET_BYTES, SECRET_BYTES),
    "user": (0, NAME_BYTES_MAX),
    "role": (0, NAME_BYTES_MAX),
    "hash": (0, HASH_BYTES_MAX),
    "access": (1, 1),
    "key": (0, KEY_BYTES_MAX),
    "range_end": (0, KEY_BYTES_MAX),
}
