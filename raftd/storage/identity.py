"""Whose directory this is: a small text file, written last when a directory is made, by rename.

raftd identity 1
cluster <id>
node <id>
incarnation <id>
crc <CRC-32 of the lines above, 8 hex digits>
"""

from __future__ import annotations

import hashlib
import re
import zlib

from raftd.core.types import Identity, NodeId
from raftd.storage.errors import CorruptIdentity, NoSpace, UnknownFormat, WrongIdentity, is_no_space
from raftd.storage.fs import FileSystem

IDENTITY_NAME = "identity"
IDENTITY_TEMPORARY = "identity.tmp"
IDENTITY_VERSION = 1
IDENTITY_MAX_BYTES = 1 << 10
_FIRST_LINE = re.compile(rb"raftd identity ([0-9]{1,9})\n")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_FILE = re.compile(
    r"raftd identity 1\ncluster (\S+)\nnode (\S+)\nincarnation (\S+)\ncrc [0-9a-f]{8}\n"
)


def directory_id(identity: Identity) -> int:
    """The 64-bit number that segments and batches carry: this directory's and no other's."""
    text = f"{identity.cluster}\n{identity.node}\n{identity.incarnation}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def encode_identity(identity: Identity) -> bytes:
    """Raises ValueError for a part that is no plain word."""
    for name in ("cluster", "node", "incarnation"):
        value = getattr(identity, name)
        if not _WORD.fullmatch(value):
            raise ValueError(f"{name} id {value!r}: use 1 to 128 of A-Z a-z 0-9 _ . -")
    head = (
        f"raftd identity {IDENTITY_VERSION}\ncluster {identity.cluster}\n"
        f"node {identity.node}\nincarnation {identity.incarnation}\n"
    ).encode()
    return head + f"crc {zlib.crc32(head):08x}\n".encode()


def decode_identity(data: bytes, path: str) -> Identity:
    """What it accepts it would write just so again. Raises CorruptIdentity, UnknownFormat."""
    first = _FIRST_LINE.match(data)
    if first is not None and int(first.group(1)) > IDENTITY_VERSION:
        raise UnknownFormat(path, int(first.group(1)), IDENTITY_VERSION)
    match = _FILE.fullmatch(data.decode("latin-1"))
    if match is None:
        raise CorruptIdentity(path, "it is not an identity file")
    identity = Identity(*match.groups())
    try:
        same = encode_identity(identity) == data
    except ValueError:
        same = False
    if not same:
        raise CorruptIdentity(path, "its checksum is wrong")
    return identity


def load_identity(fs: FileSystem, root: str) -> Identity | None:
    """None: there is none. Raises CorruptIdentity, UnknownFormat, OSError."""
    path = f"{root}/{IDENTITY_NAME}"
    try:
        file = fs.open(path)
    except FileNotFoundError:
        return None
    try:
        return decode_identity(file.read(0, IDENTITY_MAX_BYTES + 1), path)
    finally:
        file.close()


def check_identity(root: str, found: Identity, cluster: str, node: NodeId) -> None:
    """Raises WrongIdentity with both values."""
    if found.node != node:
        raise WrongIdentity(root, "node", found.node, node)
    if found.cluster != cluster:
        raise WrongIdentity(root, "cluster", found.cluster, cluster)


def save_identity(fs: FileSystem, root: str, identity: Identity) -> None:
    """Temporary file, sync, rename, sync the directory. Raises NoSpace, OSError."""
    temporary = f"{root}/{IDENTITY_TEMPORARY}"
    data = encode_identity(identity)
    try:
        file = fs.create(temporary)
        try:
            file.write(0, data)
            file.datasync()
        finally:
            file.close()
        fs.rename(temporary, f"{root}/{IDENTITY_NAME}")
    except OSError as error:
        if is_no_space(error):
            raise NoSpace(temporary, len(data), error) from error
        raise
    fs.sync_directory(root)
