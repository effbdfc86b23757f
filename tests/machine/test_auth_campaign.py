"""A few seeds of the campaign of users and roles; the planted bugs of tests/mutants need more."""

from __future__ import annotations

import pytest

from raftd.wire.spans import Span
from tests.machine.auth_campaign import AuthCampaign
from tests.machine.naive_auth import covered


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_seed_of_the_campaign(seed: int) -> None:
    campaign = AuthCampaign(seed)
    campaign.run(500)
    assert campaign.stats["denied"] > 20
    assert campaign.stats["allowed"] > 20


@pytest.mark.parametrize(
    ("start", "stop", "spans", "said"),
    [
        (b"a", b"b", [(b"a", b"b")], True),
        (b"a", b"c", [(b"a", b"b")], False),
        (b"a", b"c", [(b"a", b"b"), (b"b", b"c")], True),
        (b"a", b"d", [(b"a", b"b"), (b"c", b"e")], False),
        (b"a", None, [(b"a", b"b")], False),
        (b"b", None, [(b"a", None)], True),
        (b"a", b"b", [], False),
    ],
)
def test_the_naive_answer_itself(
    start: bytes, stop: bytes | None, spans: list[tuple[bytes, bytes | None]], said: bool
) -> None:
    assert covered(Span(start, stop), [Span(*span) for span in spans]) is said
