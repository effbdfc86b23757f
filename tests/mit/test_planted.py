"""The scenarios' own limits catch what they are there for: bugs planted, each caught by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from raftd.core.core import RaftCore
from raftd.wire import batch as wire
from tests.mit import clerk, lab, test_2a, test_2b, test_2d, test_3a
from tests.mit.network import LabNetwork
from tests.mit.service import timers_of
from tests.sim.plan import Plan

SEEDS = range(1, 9)
"""Each of these bugs shows in the first; with other timing, in one of the others."""


def _settings(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setattr(lab, "timers_of", lambda seed: replace(shipped(seed), **changes))


shipped = timers_of


def _on_all(scenario: Callable[[int], None]) -> None:
    for seed in SEEDS:
        scenario(seed)


def _caught(scenario: Callable[[int], None], why: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(why)):
        _on_all(scenario)


def test_a_leader_that_chatters(monkeypatch: pytest.MonkeyPatch) -> None:
    _settings(monkeypatch, heartbeat_interval=0.02)
    _caught(test_2b.test_count_2b, "RPCs in an idle second")


def test_an_election_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    _settings(monkeypatch, election_timeout_min=7.0, election_timeout_max=9.0)
    _caught(test_2a.test_initial_election_2a, "expected one leader, got none")


def test_replication_that_waits_for_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "Plan", partial(Plan, pull_delay=0.2))
    monkeypatch.setattr(test_3a, "SPEED_OPS", 100)
    _caught(test_3a.test_speed_3a, "ms an operation")


def test_commands_that_travel_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    _settings(monkeypatch, window_messages_max=1)
    send = LabNetwork.send

    def twice(self: LabNetwork, *arguments: Any) -> None:
        send(self, *arguments)
        send(self, *arguments)

    monkeypatch.setattr(LabNetwork, "send", twice)
    _caught(test_2b.test_rpc_bytes_2b, "bytes")


def test_a_log_that_keeps_what_the_snapshot_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    _settings(monkeypatch, keep_entries=100)
    _caught(test_2d.test_snapshot_basic_2d, "the log has")


def test_appends_that_are_repeated_outside_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(session: bytes, floor: int, commands: list[tuple[int, bytes]]) -> bytes:
        return encode(b"", 0, [(0, command) for _, command in commands])

    encode = wire.encode_batch
    monkeypatch.setattr(clerk, "encode_batch", plain)
    _caught(test_3a.test_unreliable_one_key_3a, "client ")


def test_a_minority_that_answers_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader confirms reads without asking anybody: the checkers see it first."""
    read = RaftCore.read

    def at_once(self: RaftCore, now: float, token: Any) -> Any:
        effects = read(self, now, token)
        effects.reads.append((token, self.commit_index))
        return effects

    monkeypatch.setattr(RaftCore, "read", at_once)
    with pytest.raises((AssertionError, KeyError)):
        _on_all(test_3a.test_one_partition_3a)
