"""tests.variants: what it counts is what happens, and its settings are those of the daemon."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftd.config.settings import SETTINGS as TABLE
from raftd.core.types import Settings
from tests.variants.__main__ import EVERY, SINGLE, Variant
from tests.variants.sim import elections

SETTINGS = Settings()


def test_a_silent_leader_is_missed_for_a_timeout_and_replaced_by_six_messages() -> None:
    """Pre-vote and vote, each asked of two others; the silent one does not answer."""
    found = elections(SETTINGS, 3, 0.0, False, 4, seed=1)
    assert len(found) == 4
    for one in found:
        # A heartbeat may have gone out just before the leader fell silent, or be due.
        shortest = SETTINGS.election_timeout_min - SETTINGS.heartbeat_interval
        assert shortest < one.seconds < SETTINGS.election_timeout_max + 0.1
        assert one.messages == 6
        assert one.campaign < 0.05


def test_a_dead_leader_is_replaced_at_once() -> None:
    found = elections(SETTINGS, 3, 0.0, True, 4, seed=1)
    assert sorted(one.seconds for one in found)[1] < 0.05


def test_without_prevote_half_the_messages() -> None:
    found = elections(replace(SETTINGS, prevote=False), 5, 0.0, False, 4, seed=1)
    assert {one.messages for one in found} <= {6, 7}  # the last answers may come too late


def test_loss_costs_time() -> None:
    lossy = elections(SETTINGS, 3, 0.3, False, 10, seed=1)
    assert max(one.campaign for one in lossy) > 0.1


@pytest.mark.parametrize("variant", EVERY)
def test_every_variant_can_be_configured(variant: Variant) -> None:
    assert set(variant.config()) <= set(TABLE)


def test_what_ships_is_the_first_row() -> None:
    assert SINGLE[0] == EVERY[0] == Variant()
    assert Variant().settings() == SETTINGS
