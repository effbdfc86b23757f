"""A configuration entry's payload: what is written is what is read, the rest is refused."""

from __future__ import annotations

import pytest

from raftd.core.membership import decode_configuration, encode_configuration
from raftd.core.types import Configuration


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(("a",)),
        Configuration(("a", "b", "c")),
        Configuration(("a", "b", "c"), ("d",)),
        Configuration(("a.1", "b-2", "c_3"), ("d", "e")),
    ],
)
def test_what_is_written_is_what_is_read(configuration: Configuration) -> None:
    assert decode_configuration(encode_configuration(configuration)) == configuration


@pytest.mark.parametrize("payload", [b"", b"a,b,c", b"a\nb\nc", b"\xff\n"])
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_configuration(payload)
