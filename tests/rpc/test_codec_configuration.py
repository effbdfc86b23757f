"""What says who is in the cluster is checked before the core reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from raftd.core import messages as m
from raftd.core.configuration_format import encode_configuration
from raftd.core.types import Configuration, Entry, EntryType, Member
from raftd.rpc.peers import codec
from raftd.rpc.peers.checks import Rejected
from tests.rpc.test_codec import ENVELOPE, META, over_the_wire


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "not a configuration"),
        (b"\xff\n", "not a configuration"),
        (b"n1,,n2\n", "empty id"),
        (b"\n", "voters is empty"),
        (b"n2,n1\n", "sorted"),
        (b"n1\nn1", "overlap"),
        (b"n 1\n", "node id"),
    ],
)
def test_a_configuration_that_is_none_never_reaches_the_core(payload: bytes, text: str) -> None:
    """It reads them when it appends them: what it could not read there would end the process."""
    entry = Entry(1, 1, EntryType.CONFIGURATION, payload)
    request = m.AppendRequest(1, "n1", 0, 0, (entry,), 0, 1)
    message = over_the_wire(codec.encode_append(request, ENVELOPE))
    with pytest.raises(Rejected, match=text):
        codec.decode_append(message, "n1")


WHOLE = Configuration(("n1", "n2"), ("n3",), about=(Member("n3", "h:1", "h:2", "ff"),))


def test_a_configuration_with_addresses_travels_with_a_snapshot() -> None:
    meta = replace(META, configuration=WHOLE)
    chunk = m.SnapshotRequest(4, "n1", meta, 90, b"0123456789", number=9)
    message = over_the_wire(codec.encode_snapshot(chunk, ENVELOPE))
    assert codec.decode_snapshot(message, "n1") == chunk
    assert not message.meta.voters


def about(**fields: Any) -> Configuration:
    return replace(WHOLE, about=(replace(WHOLE.about[0], **fields),))


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        (about(peer_address="a\nb"), "peer_address"),
        (about(client_address="x" * 2000), "client_address"),
        (about(incarnation="in carnation"), "incarnation"),
        (replace(WHOLE, retired=tuple(f"x{n}" for n in range(1025))), "retired ids, the limit is"),
        (replace(WHOLE, retired=("n 1",)), "retired"),
        (replace(WHOLE, outgoing=("n 1",)), "outgoing"),
    ],
)
def test_what_a_configuration_says_of_members_is_checked(
    configuration: Configuration, text: str
) -> None:
    entry = Entry(1, 1, EntryType.CONFIGURATION, encode_configuration(configuration))
    request = m.AppendRequest(1, "n1", 0, 0, (entry,), 0, 1)
    with pytest.raises(Rejected, match=text):
        codec.decode_append(over_the_wire(codec.encode_append(request, ENVELOPE)), "n1")
