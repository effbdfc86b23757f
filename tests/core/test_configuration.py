"""A configuration entry's payload: what is written is what is read, the rest is refused."""

from __future__ import annotations

import pytest

from raftd.core.configuration_format import decode_configuration, encode_configuration
from raftd.core.types import Configuration, Member


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(("a",)),
        Configuration(("a", "b", "c")),
        Configuration(("a", "b", "c"), ("d",)),
        Configuration(("a.1", "b-2", "c_3"), ("d", "e")),
        Configuration(("a", "c"), ("b",), ("a", "b", "d")),
        Configuration(
            ("a", "b"),
            ("c",),
            about=(
                Member("a", "h:1", "h:2", "00ff", moved=True),
                Member("c", client_address="h:3", more=((9, b"\0"), (77, b"later"))),
            ),
            retired=("z", "y"),
        ),
    ],
)
def test_what_is_written_is_what_is_read(configuration: Configuration) -> None:
    assert decode_configuration(encode_configuration(configuration)) == configuration


GOLDEN = (
    "0002" "0200" "0100"
    "1300" "01" "01" "0100" "61" "02" "0300" "683a31" "04" "0200" "6666" "05" "0000"
    "0500" "04" "01" "0100" "62"
    "01" "63"
)  # fmt: skip


def test_the_bytes_of_version_2_stay_as_they_are() -> None:
    member = Member("a", "h:1", incarnation="ff", moved=True)
    configuration = Configuration(("a",), ("b",), about=(member,), retired=("c",))
    assert encode_configuration(configuration).hex() == GOLDEN
    assert decode_configuration(bytes.fromhex(GOLDEN)) == configuration


def test_version_1_is_read() -> None:
    assert decode_configuration(b"a,b\nc") == Configuration(("a", "b"), ("c",))
    assert decode_configuration(b"\n") == Configuration(())


def test_a_newer_version_is_named() -> None:
    payload = b"\0\3" + bytes.fromhex(GOLDEN)[2:]
    with pytest.raises(ValueError, match="version 3, this raftd knows up to 2: use a newer raftd"):
        decode_configuration(payload)


def test_every_byte_of_version_2_counts() -> None:
    payload = bytes.fromhex(GOLDEN)
    good = decode_configuration(payload)
    for end in range(len(payload)):
        with pytest.raises(ValueError, match=r"."):
            decode_configuration(payload[:end])
    for at in range(len(payload)):
        changed = payload[:at] + bytes((payload[at] ^ 1,)) + payload[at + 1 :]
        try:
            assert decode_configuration(changed) != good
        except ValueError:
            continue


@pytest.mark.parametrize("payload", [b"", b"a,b,c", b"a\nb\nc", b"\xff\n", b"b,a\n", b"a\na"])
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_configuration(payload)
