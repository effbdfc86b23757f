"""Frames that belong to no call, from two connections, as fast as they go: nobody is deposed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import quantiles

import pytest

from harness.nodes import ROOT
from tests.harsh.bad_input.conftest import Live, said

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SECONDS = 1.0
SLOWEST_SECONDS = 1.5
"""Deposing the leader cost two. The flood itself takes half of a small machine's time."""


def calls(live: Live, seconds: float) -> list[float]:
    """How long each of a row of writes took. Raises if one fails."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        live.client.put(b"flood", b"x")
        took.append(time.monotonic() - began)
    return took


def p99_ms(took: list[float]) -> float:
    return 1e3 * quantiles(took, n=100)[98]


@pytest.mark.parametrize(
    ("port", "kind"),
    [("client", "window"), ("peer", "ping")],
)
def test_a_flood_of_frames_deposes_nobody(live: Live, port: str, kind: str) -> None:
    quiet = p99_ms(calls(live, 0.3))
    number = str(getattr(live.leader.ports, port))
    flood = subprocess.Popen(
        [sys.executable, "-m", "tests.harsh.flood", number, kind, str(SECONDS), "2"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    took = calls(live, SECONDS)
    found = json.loads(flood.communicate(timeout=20)[0])
    print(
        f"\nflood of {kind} at the {port} port: {found['bytes'] >> 20} MiB, "
        f"{found['closed']} connections closed; {len(took)} writes, p99 {quiet:.0f} -> "
        f"{p99_ms(took):.0f} ms, slowest {1e3 * max(took):.0f} ms, term {live.term} as before"
    )
    assert max(took) < SLOWEST_SECONDS
    if kind in ("window", "priority"):
        assert found["closed"] > 0
        said(live.leader, "that belong to no message")
