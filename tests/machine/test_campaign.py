"""A few seeds of the store's campaign; `python -m tests.mutants --only` runs it on planted bugs."""

from __future__ import annotations

import pytest

from tests.machine.campaign import Campaign


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_seed_of_the_campaign(seed: int) -> None:
    campaign = Campaign(seed)
    campaign.run(400)
    assert campaign.stats["events"] > 50
    assert campaign.stats["ended"] > 0
