"""A name of the host that libnghttp2 refuses is mended, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from raftd.h2.authority import Names, mended
from tests.h2.peers import run, serving
from tests.harsh.flood import DATA, HEADERS, PREFACE, PRIORITY, SETTINGS, frame, text

OF_ETCDCTL = bytes.fromhex(
    "83864597 60a92488 2d9dcb65 71afa066 a925a875 10ac6e48 d36a3f41 909d29ae e30c044e ae05c0b8"
    "6e32cbef bf5f8b1d 75d0620d 263d4c4d 6564"
)
"""How `etcdctl endpoint status` of 3.4 began at http://127.0.0.1:33999."""

NAMES = ["http://127.0.0.1:7002", "https://[::1]:7002/", "#initially=[127.0.0.1:7002;db2:7002]"]


def authority(name: bytes) -> bytes:
    return b"\x83\x86\x41" + text(name) + b"\x5f" + text(b"application/grpc")


@pytest.mark.parametrize("name", NAMES)
def test_calls_that_name_a_host_in_the_way_of_go_are_answered(name: str) -> None:
    """Many on one connection, with fields that push each other out of HPACK's tables."""

    async def main() -> None:
        options = [("grpc.default_authority", name)]
        async with (
            serving("h2") as (address, _, _),
            grpc.aio.insecure_channel(address, options=options) as channel,
        ):
            echo: Any = channel.unary_unary("/test.Interop/Echo")
            for number in range(100):
                said = f"{number:03}" * 100
                assert await echo(b"hi", metadata=[("x-initial", said)], timeout=20) == b"hi"

    run(main())


def test_what_etcdctl_sends_is_mended() -> None:
    found = mended(OF_ETCDCTL)
    at = OF_ETCDCTL.index(b"\x41\x90") + 1
    assert found == OF_ETCDCTL[:at] + text(b"http:..127.0.0.1:33999") + OF_ETCDCTL[at + 17 :]


def test_what_is_no_host_keeps_its_length() -> None:
    assert mended(authority(b"#a=[b/c]\x00")) == authority(b".a=[b.c].")
    long = b"\x41\x7f\x81\x01" + b"/" * 256
    assert mended(long) == b"\x41\x7f\x81\x01" + b"." * 256


def test_all_else_stays_as_it_is() -> None:
    good = authority(b"db1.example:7002")
    for block in (good, b"", b"\x83\x86", b"\x00" + text(b"a/b") + text(b"c/d"), b"\xff" * 9):
        assert mended(block) == block
    for end in range(len(OF_ETCDCTL)):  # cut anywhere: no error
        mended(OF_ETCDCTL[:end])
    odd = b"\x41\x83\xff\xff\xff"  # no letter ends there
    assert mended(odd) == odd


@pytest.mark.parametrize("flags", [0x4, 0x24])
@pytest.mark.parametrize("name", [b"a/b", b"a-b"])
def test_header_blocks_are_found_however_they_are_cut(flags: int, name: bytes) -> None:
    settings = PREFACE + frame(SETTINGS, 0, 0, bytes(6)) + frame(PRIORITY, 0, 9, bytes(5))
    skipped = bytes(5) if flags & 0x20 else b""

    def said(name: bytes) -> bytes:
        block = skipped + authority(name)
        head, body = frame(HEADERS, flags, 1, block), frame(DATA, 1, 1, bytes(40))
        return settings + head + body + frame(HEADERS, flags, 3, block)

    for size in (1, 2, 7, 31, 1000):
        names, found, wanted = Names(), b"", said(name)
        for at in range(0, len(wanted), size):
            part = wanted[at : at + size]
            found += part if names.well else names.take(part)
        assert found == said(name.replace(b"/", b"."))
        assert names.well == (b"/" not in name)
