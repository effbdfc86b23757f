"""Hashes of passwords: what is believed of one that somebody else wrote."""

from __future__ import annotations

import pytest

from raftd.rpc.clients import passwords

SALT = bytes(passwords.SALT_BYTES)
KEY = bytes(passwords.KEY_BYTES)


def test_a_hash_matches_its_password_and_no_other() -> None:
    made = passwords.make("a", SALT)
    assert passwords.matches("a", made)
    assert not passwords.matches("b", made)


@pytest.mark.parametrize(
    ("cost", "block", "lanes"),
    [(20, 255, 1), (17, 8, 1), (14, 8, 255), (255, 1, 1), (14, 0, 1), (0, 8, 1), (14, 8, 0)],
)
def test_what_costs_too_much_is_not_computed(
    cost: int, block: int, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login with such a hash took gigabytes, or the thread of all logins for minutes."""
    monkeypatch.setattr(passwords, "_hash", lambda *how: pytest.fail("it was computed"))
    strange = passwords.HEAD.pack(passwords.VERSION, cost, block, lanes) + SALT + KEY
    assert not passwords.matches("a", strange)
