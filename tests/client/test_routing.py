"""Endpoints, hints and back-off, without any network."""

from __future__ import annotations

from random import Random

import pytest

from raftd.client.delivery.routing import BACKOFF_MAX_SECONDS, REDIRECTS_MAX, Router
from raftd.client.endpoints import parse_endpoints
from raftd.client.errors import Invalid

A, B, C, X = "a:1", "b:1", "c:1", "x:9"


def router() -> Router:
    made = Router([A, B, C], Random(1))
    made._at = 0
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", ["a:1"]),
        (" a:1, b:2 ,a:1,", ["a:1", "b:2"]),
        ("[::1]:7001", ["[::1]:7001"]),
        (["a:1", "b:2"], ["a:1", "b:2"]),
    ],
)
def test_endpoints(text: str | list[str], expected: list[str]) -> None:
    assert parse_endpoints(text) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "a", "a:", ":1", "a:0", "a:65536", "http://a:1", "a:1:2"]
)
def test_wrong_endpoints_are_named(text: str) -> None:
    with pytest.raises(Invalid, match="endpoint"):
        parse_endpoints(text)


def test_a_hint_is_followed_to_the_advertised_address() -> None:
    made = router()
    made.hinted(A, "n9", X, now=0)
    assert made.target() == X


def test_the_own_endpoint_for_a_node_is_preferred() -> None:
    made = router()
    made.learn(B, "n2")
    assert not made.knows("n3", X)
    made.hinted(A, "n2", X, now=0)
    assert made.target() == B


def test_a_hint_to_the_node_that_gave_it_is_not_followed() -> None:
    made = router()
    made.hinted(A, "n1", A, now=0)
    assert made.target() == B


def test_redirects_in_a_row_are_bounded() -> None:
    made = router()
    seen = []
    address = A
    for _ in range(20):
        made.hinted(address, "", B if address != B else C, now=0)
        address = made.target()
        seen.append(address)
    assert made.pause() > 0, "two nodes that point at each other are asked ever less often"
    assert A in seen[REDIRECTS_MAX:], "the nodes are tried in turn instead"


def test_a_hint_to_an_address_that_just_failed_waits() -> None:
    made = router()
    made.failed(X, now=0)
    made.hinted(A, "", X, now=0.1)
    assert made.target() != X
    made.hinted(made.target(), "", X, now=10)
    assert made.target() == X


def test_every_endpoint_is_tried_before_the_first_pause() -> None:
    made = router()
    tried = []
    for _ in range(2):
        tried.append(made.target())
        made.failed(made.target(), now=0)
        assert made.pause() == 0
    tried.append(made.target())
    made.failed(made.target(), now=0)
    assert sorted(tried) == [A, B, C]
    assert made.pause() > 0


def test_the_pause_grows_to_its_bound_and_success_resets_it() -> None:
    made = router()
    for _ in range(40):
        made.failed(made.target(), now=0)
    assert BACKOFF_MAX_SECONDS / 2 <= made.pause() <= BACKOFF_MAX_SECONDS
    made.answered(A, leads=True)
    assert made.pause() == 0
    assert made.target() == A


def test_an_answered_query_says_nothing_about_the_leader() -> None:
    made = router()
    made.hinted(A, "", B, now=0)
    made.answered(C, leads=False)
    assert made.target() == B


def test_a_node_that_moved_to_another_endpoint_is_learnt_anew() -> None:
    made = router()
    made.learn(A, "n1")
    made.learn(A, "n2")
    made.hinted(B, "n1", X, now=0)
    assert made.target() == X
    made.learn(X, "n3")
    assert not made.knows("n3", X), "only our own endpoints are learnt"


def test_a_first_hint_is_followed_without_a_wait() -> None:
    """A new leader is named while the client has been searching for a while: no more waiting."""
    made = router()
    for _ in range(8):
        made.leaderless(made.target(), now=0)
    assert made.pause() > 0
    made.hinted(made.target(), "n9", X, now=0)
    assert made.target() == X
    assert made.pause() == 0


def test_hints_at_a_dead_leader_do_not_slow_the_way_to_the_next_one() -> None:
    """Its followers name it until they notice: the first hint at the new one is free all the same.

    The story without it: the client waited 10 ms before it went where it had just been sent.
    """
    made = router()
    made.answered(A, leads=True)
    made.failed(A, now=0, silent=True)
    assert made.target() != A
    for _ in range(3):
        made.hinted(made.target(), "n1", A, now=0.01)
        assert made.target() != A, "it has just fallen silent, and nobody else is asked about it"
    made.hinted(made.target(), "n9", X, now=0.03)
    assert made.target() == X
    assert made.pause() == 0


def test_a_node_without_a_leader_may_be_the_next_one() -> None:
    made = router()
    made.leaderless(A, now=0)
    made.hinted(B, "", A, now=0.1)
    assert made.target() == A, "a hint to it is followed at once"


def test_a_node_that_falls_silent_is_left_out_for_a_moment() -> None:
    made = router()
    made.failed(made.target(), now=0, silent=True)
    dead = next(a for a in (A, B, C) if a in made._skipped)
    for _ in range(6):
        made.leaderless(made.target(), now=0.1)
        assert made.target() != dead
    seen = set()
    for _ in range(3):
        made.leaderless(made.target(), now=0.3)
        seen.add(made.target())
    assert dead in seen


def test_members_are_asked_while_no_own_endpoint_answers() -> None:
    """The nodes that a client was started with may all be gone one day."""
    made = router()
    made.heard_of([A, "m:1", "m:2", "not an address"])
    for own in (A, B):
        made.failed(own, 0.0, silent=True)
        assert made.target() in (A, B, C), "one of its own may still answer"
    made.failed(C, 0.0, silent=True)
    assert made.target() == "m:1"
    made.failed("m:1", 0.0, silent=True)
    assert made.target() == "m:2"
    made.answered("m:2", leads=True)
    assert made.target() == "m:2"
    made.answered(B, leads=False)
    assert made.endpoints == [A, B, C]


def test_members_that_go_away_take_no_turn_with_them() -> None:
    """The story without it: an IndexError from any call, when members are removed."""
    made = router()
    made.heard_of(["m:1", "m:2", "m:3"])
    for dead in (A, B, C, "m:1", "m:2"):
        made.failed(dead, 0.0, silent=True)
    assert made.target() == "m:3"
    made.heard_of(["m:2"])
    made.failed("m:3", 0.0, silent=True)
    assert made.target() in (A, B, C, "m:2")
    made.heard_of(["l:1", "m:2"])
    while made.target() != "m:2":
        made.failed(made.target(), 10.0)
    made.heard_of(["l:1", "l:2", "m:2"])
    made.failed(C, 10.0)
    assert made.target() == "m:2", "who has the turn keeps it"


def something(made: Router, rng: Random, known: list[str], now: float) -> None:
    """A hint, an answer, a failure, or members that come and go."""
    address = rng.choice(known)
    rng.choice(
        (
            lambda: made.heard_of(rng.sample(known, rng.randrange(7))),
            lambda: made.failed(made.target(), now, silent=True),
            lambda: made.failed(address, now, silent=rng.random() < 0.5),
            lambda: made.hinted(made.target(), rng.choice(("", "n1")), address, now),
            lambda: made.leaderless(made.target(), now),
            lambda: made.answered(made.target(), leads=rng.random() < 0.5),
            lambda: made.answered(rng.choice((A, B, C)), leads=False),
            lambda: made.learn(made.target(), "n1"),
        )
    )()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_there_is_somebody_to_ask(seed: int) -> None:
    rng = Random(seed)
    made = Router([A, B, C], rng)
    known = [A, B, C, X, "", *(f"m:{number}" for number in range(1, 7))]
    for step in range(1000):
        something(made, rng, known, step / 10)
        assert made.target()
        assert made.other(rng.choice(known)) in made.endpoints
        assert {A, B, C} <= set(made.endpoints)
        assert made.pause() >= 0
