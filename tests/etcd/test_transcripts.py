"""What a transcript makes of numbers that differ from run to run."""

from __future__ import annotations

import pytest

from tests.etcd.transcripts import Session


@pytest.mark.parametrize("number", [0x00038D7EA4C68007, 0x1234567890123456, 0x7FFFFFFFFFFFFFFF])
def test_a_lease_has_one_name_however_it_is_printed(number: int) -> None:
    """A small one, in decimal, was taken for another one in hexadecimal: one of nine hundred."""
    words, in_json = f"{number:016x}", f'"id":{number}}}'
    for first, second in ((words, in_json), (f'"ID":{number}', f"{number:x}")):
        session = Session("127.0.0.1:1")
        assert "<lease1>" in session._plain(f"lease {first} granted")
        assert "<lease1>" in session._plain(second)
        assert list(session.leases.values()) == ["<lease1>"]
