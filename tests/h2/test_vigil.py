"""How often a server looks at its connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from raftd.h2.settings import ConnectionSettings
from raftd.h2.vigil import CHECK_SHARE, FEW, REST_SECONDS, Vigil, pause_of_server

SETTINGS = ConnectionSettings(keepalive_time=2.0, keepalive_timeout=1.0, handshake_timeout=1.0)
OFTEN = 1.0 / CHECK_SHARE


class Connection:
    settings = SETTINGS

    def __init__(self, settled: bool = True, unsent: int = 0) -> None:
        self.settled = settled
        self.unsent = unsent
        self.streams = {1: "a call"}


def vigil(now: float = 100.0, **how: Any) -> Vigil:
    return Vigil(cast(Any, Connection(**how)), now)


def test_nobody_or_someone_who_talks_is_looked_at_seldom() -> None:
    assert pause_of_server([], SETTINGS, 100.0) == REST_SECONDS
    assert pause_of_server([vigil()], SETTINGS, 100.0) == REST_SECONDS


def test_what_is_due_is_looked_at_when_it_is() -> None:
    silent, new = vigil(98.3), vigil(99.2, settled=False)
    assert pause_of_server([vigil(), silent], SETTINGS, 100.0) == pytest.approx(0.3)
    assert pause_of_server([vigil(), new], SETTINGS, 100.0) == pytest.approx(0.2)


def test_who_does_not_read_and_a_crowd_are_looked_at_often() -> None:
    assert pause_of_server([vigil(), vigil(unsent=1)], SETTINGS, 100.0) == OFTEN
    assert pause_of_server([vigil() for _ in range(FEW + 1)], SETTINGS, 100.0) == OFTEN


def test_one_who_is_overdue_does_not_make_it_spin() -> None:
    assert pause_of_server([vigil(0.0)], SETTINGS, 100.0) == OFTEN


class Pinged(Connection):
    def __init__(self) -> None:
        super().__init__()
        self.pings = 0
        self.engine = self

    def ping(self) -> None:
        self.pings += 1

    def flush_soon(self) -> None:
        pass

    def queued_all(self) -> int:
        return 0


def test_who_answers_is_pinged_once_in_its_time_even_if_the_answer_takes_no_time() -> None:
    connection = Pinged()
    watched = Vigil(cast(Any, connection), 100.0)
    for look in range(1, 11):
        now = 100.0 + 2.0 * look
        assert watched.look(now) == ""
        assert connection.pings == look
        watched.heard = now  # the loop's clock counts in milliseconds
        assert watched.due() == now + 2.0


def test_who_does_not_answer_is_given_up() -> None:
    connection = Pinged()
    watched = Vigil(cast(Any, connection), 100.0)
    assert watched.look(102.0) == ""
    assert watched.due() == 103.0
    assert "nor an answer to a ping" in watched.look(103.0)
    assert connection.pings == 1


def test_where_there_is_no_call_pings_are_rare_and_one_that_begins_is_looked_after() -> None:
    connection = Pinged()
    connection.settings = replace(SETTINGS, keepalive_rest=8.0)
    connection.streams = {}
    watched = Vigil(cast(Any, connection), 100.0)
    assert watched.due() == 108.0
    assert watched.look(107.0) == ""
    assert connection.pings == 0
    connection.streams = {1: "a call"}
    assert watched.look(107.0) == ""
    assert connection.pings == 1
    connection.streams = {}  # it has gone, and the ping is still to be answered
    assert watched.due() == 108.0
    assert "nor an answer to a ping" in watched.look(108.0)
