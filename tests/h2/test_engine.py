"""What the engine promises to those who use it, beyond HTTP/2."""

from __future__ import annotations

import random
from typing import Any

from raftd.h2.engine import EngineLimits, NoNewStreams, StreamGone
from raftd.h2.ngh2_engine import Ngh2Engine

BYTES_MAX = 256 << 10
HEADERS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b":authority", b"y")]


class Deaf:
    """A sink that hears nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def two_ends() -> tuple[Ngh2Engine, Ngh2Engine]:
    limits = EngineLimits(
        streams_max=256, stream_window_bytes=1 << 20, connection_window_bytes=8 << 20
    )
    one = Ngh2Engine(Deaf(), limits, client=True)
    two = Ngh2Engine(Deaf(), limits, client=False)
    for _ in range(2):
        two.receive(one.to_send(BYTES_MAX))
        one.receive(two.to_send(BYTES_MAX))
    return one, two


def test_less_than_half_of_what_may_be_sent_is_all_that_there_is() -> None:
    """Whoever sends does not ask again then: a frame that was left would wait for the next one."""
    rng = random.Random(11)
    short = 0
    for _ in range(20):
        one, two = two_ends()
        streams: list[int] = []
        for _ in range(40):
            for _ in range(rng.randrange(1, 40)):
                some_frame(one, streams, rng)
            while data := one.to_send(BYTES_MAX):
                if len(data) < BYTES_MAX // 2:
                    short += 1
                    assert one.to_send(BYTES_MAX) == b""
                two.receive(data)
                if answer := two.to_send(BYTES_MAX):
                    one.receive(answer)
    assert short > 500


def some_frame(engine: Ngh2Engine, streams: list[int], rng: random.Random) -> None:
    try:
        if not streams or rng.random() < 0.2:
            streams.append(engine.request(HEADERS))
        elif rng.random() < 0.1:
            engine.ping()
        elif rng.random() < 0.1:
            engine.reset(streams.pop(rng.randrange(len(streams))), 8)
        else:
            size = rng.choice((0, 1, 10, 1_000, 20_000, 100_000))
            engine.data(rng.choice(streams), b"x" * size)
    except (NoNewStreams, StreamGone):
        pass
