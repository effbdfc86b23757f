"""Kinds of settings: how durations, sizes and addresses are read and written."""

from __future__ import annotations

import pytest

from raftd.config.kinds import (
    parse_address,
    parse_duration,
    parse_size,
    render_duration,
    render_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("150ms", 0.15), ("10s", 10.0), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), ("500us", 5e-4)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert render_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("1.5MiB", 1_572_864), ("64KiB", 65_536), ("1GiB", 1 << 30), ("100B", 100)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes
    assert render_size(size_bytes) == text


def test_sizes_without_unit_and_in_powers_of_ten() -> None:
    assert parse_size("1_000") == 1000
    assert parse_size("2MB") == 2_000_000


@pytest.mark.parametrize(
    "text", ["", "h", "h:", ":1", "h:0", "h:65536", "h:x", "a b:1", "h:1:2", "-h:1"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(text)


def test_ipv6_address() -> None:
    assert parse_address("[::1]:7001") == "[::1]:7001"
