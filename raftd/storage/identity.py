"""Whose directory this is: a small text file, written last when a directory is made, by rename.

raftd identity 2
cluster <id>
node <id>
incarnation <id>
token <digest of the token that new clusters are told apart by, or ->
voters <ids of the cluster's first voters, sorted, joined by commas; - for a node that joins one>
crc <CRC-32 of the lines above, 8 hex digits>

Cluster and first voters are settled here once, so that no later change of a node's settings moves
it to another cluster or rewrites what stood before the first log entry. Version 1 had neither
`token` nor `voters`: both were computed anew from the settings at each start.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass

from raftd.core.types import Configuration, Identity, NodeId
from raftd.storage.errors import CorruptIdentity, NoSpace, UnknownFormat, WrongIdentity, is_no_space
from raftd.storage.fs import FileSystem

IDENTITY_NAME = "identity"
IDENTITY_TEMPORARY = "identity.tmp"
IDENTITY_VERSION = 2
IDENTITY_MAX_BYTES = 64 << 10
_FIRST_LINE = re.compile(rb"raftd identity ([0-9]{1,9})\n")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_NONE = "-"
_FILE = re.compile(
    r"raftd identity ([12])\ncluster (\S+)\nnode (\S+)\nincarnation (\S+)\n"
    r"(?:token (\S+)\nvoters (\S+)\n)?crc [0-9a-f]{8}\n"
)


@dataclass(frozen=True, slots=True)
class Founding:
    """How a cluster began, as one of its nodes keeps it.

    voters: of its first configuration, sorted; empty for a node that joined it later.
    token: a digest of the token in the settings; empty: not compared.
    """

    voters: tuple[NodeId, ...] = ()
    token: str = ""

    @property
    def configuration(self) -> Configuration:
        """What was in force before the first log entry."""
        return Configuration(self.voters)


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """founding: None in a file of version 1."""

    identity: Identity
    founding: Founding | None


def directory_id(identity: Identity) -> int:
    """The 64-bit number that segments and batches carry: this directory's and no other's."""
    text = f"{identity.cluster}\n{identity.node}\n{identity.incarnation}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def encode_identity(file: IdentityFile) -> bytes:
    """Raises ValueError for a part that is no plain word."""
    identity, founding = file.identity, file.founding
    words = [("cluster", identity.cluster), ("node", identity.node)]
    words.append(("incarnation", identity.incarnation))
    if founding is not None:
        words.append(("token", founding.token or _NONE))
        words.extend(("voter", voter) for voter in founding.voters)
    for name, value in words:
        if not _WORD.fullmatch(value):
            raise ValueError(f"{name} id {value!r}: use 1 to 128 of A-Z a-z 0-9 _ . -")
    text = (
        f"raftd identity {1 if founding is None else IDENTITY_VERSION}\n"
        f"cluster {identity.cluster}\nnode {identity.node}\nincarnation {identity.incarnation}\n"
    )
    if founding is not None:
        text += f"token {founding.token or _NONE}\nvoters {','.join(founding.voters) or _NONE}\n"
    head = text.encode()
    return head + f"crc {zlib.crc32(head):08x}\n".encode()


def decode_identity(data: bytes, path: str) -> IdentityFile:
    """What it accepts it would write just so again. Raises CorruptIdentity, UnknownFormat."""
    first = _FIRST_LINE.match(data)
    if first is not None and int(first.group(1)) > IDENTITY_VERSION:
        raise UnknownFormat(path, int(first.group(1)), IDENTITY_VERSION)
    match = _FILE.fullmatch(data.decode("latin-1"))
    if match is None:
        raise CorruptIdentity(path, "it is not an identity file")
    version, cluster, node, incarnation, token, voters = match.groups()
    founding = None
    if version != "1":
        names = () if voters == _NONE else tuple((voters or "").split(","))
        founding = Founding(names, "" if token == _NONE else token or "")
    found = IdentityFile(Identity(cluster, node, incarnation), founding)
    try:
        same = encode_identity(found) == data
    except ValueError:
        same = False
    if not same:
        raise CorruptIdentity(path, "its checksum is wrong")
    return found


def load_identity(fs: FileSystem, root: str) -> IdentityFile | None:
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


def check_identity(root: str, found: IdentityFile, cluster: str, node: NodeId, token: str) -> None:
    """Raises WrongIdentity with both values.

    cluster: what the settings would make now. A file of version 2 says itself which cluster it is
    of; there only the token is compared, so that another cluster's directory is noticed.
    """
    own = found.identity
    if own.node != node:
        raise WrongIdentity(root, "node", own.node, node)
    if found.founding is None:
        same = own.cluster == cluster
    else:
        same = not token or not found.founding.token or token == found.founding.token
    if not same:
        raise WrongIdentity(root, "cluster", own.cluster, cluster)


def save_identity(fs: FileSystem, root: str, file: IdentityFile) -> None:
    """Temporary file, sync, rename, sync the directory. Raises NoSpace, OSError."""
    temporary = f"{root}/{IDENTITY_TEMPORARY}"
    data = encode_identity(file)
    with suppress(FileNotFoundError):
        fs.unlink(temporary)  # of an upgrade that was cut off: no start came past it
    try:
        made = fs.create(temporary)
        try:
            made.write(0, data)
            made.datasync()
        finally:
            made.close()
        fs.rename(temporary, f"{root}/{IDENTITY_NAME}")
    except OSError as error:
        if is_no_space(error):
            raise NoSpace(temporary, len(data), error) from error
        raise
    fs.sync_directory(root)
