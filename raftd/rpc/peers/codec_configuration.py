"""Configurations and snapshots' descriptions, to protobuf and back. Raises checks.Rejected."""

from __future__ import annotations

from raftd._pb import raft_pb2 as pb
from raftd.core.configuration_format import (
    RETIRED_MAX,
    decode_configuration,
    encode_configuration,
)
from raftd.core.types import Configuration, SnapshotMeta
from raftd.rpc.peers import checks
from raftd.rpc.peers.checks import Rejected


def encode_meta(meta: SnapshotMeta) -> pb.SnapshotMeta:
    """A plain configuration goes in the fields that every version of raftd reads."""
    out = pb.SnapshotMeta(
        index=meta.index, term=meta.term, size_bytes=meta.size_bytes, crc=meta.crc
    )
    if meta.configuration.is_plain():
        out.voters.extend(meta.configuration.voters)
        out.learners.extend(meta.configuration.learners)
    else:
        out.configuration = encode_configuration(meta.configuration)
    return out


def decode_meta(message: pb.SnapshotMeta) -> SnapshotMeta:
    if not message.index:
        raise Rejected(
            "meta.index 0: no such snapshot can be; its sender takes this node's log for longer "
            "than its own"
        )
    if message.configuration:
        configuration = check_configuration_payload("meta.configuration", message.configuration)
    else:
        configuration = Configuration(tuple(message.voters), tuple(message.learners))
        _check_configuration("meta", configuration)
    if message.size_bytes > checks.SIZE_MAX:
        raise Rejected(f"meta.size_bytes {message.size_bytes} is above 2^62")
    return SnapshotMeta(
        index=checks.check_index("meta.index", message.index, least=1),
        term=checks.check_term("meta.term", message.term),
        configuration=configuration,
        size_bytes=message.size_bytes,
        crc=message.crc,
    )


def check_configuration_payload(where: str, payload: bytes) -> Configuration:
    try:
        found = decode_configuration(payload)
    except ValueError as error:
        raise Rejected(f"{where}: {error}") from None
    _check_configuration(where, found)
    return found


def _check_configuration(where: str, found: Configuration) -> None:
    for name in ("voters", "learners", "outgoing"):
        checks.check_members(f"{where}: {name}", getattr(found, name))
    if not found.voters:
        raise Rejected(f"{where}: voters is empty")
    if set(found.voters) & set(found.learners):
        raise Rejected(f"{where}: voters and learners overlap")
    if len(found.retired) > RETIRED_MAX:
        raise Rejected(f"{where}: {len(found.retired)} retired ids, the limit is {RETIRED_MAX}")
    for node in found.retired:
        checks.check_node_id(f"{where}: retired", node)
    for member in found.about:
        checks.check_text(f"{where}: peer_address", member.peer_address)
        checks.check_text(f"{where}: client_address", member.client_address)
        if member.incarnation:
            checks.check_incarnation(f"{where}: incarnation", member.incarnation)
