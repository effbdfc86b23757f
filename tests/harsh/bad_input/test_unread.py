"""Answers that nobody reads: they wait in the node, and only so many of them may."""

from __future__ import annotations

import contextlib
import time
from struct import pack

import pytest

from raftd._pb import client_pb2 as pb
from raftd.wire import kv
from tests.harsh.bad_input.conftest import Live, said
from tests.harsh.bad_input.test_crowds import of_process
from tests.harsh.flood import DATA, frame, opened, request_headers

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.alone]

VALUES, VALUE_BYTES = 19, 100 << 10
CALLS = 700
STREAMS, FRAMES = 60, 40
CONNECTIONS = 4
GROWTH_MAX = 250 << 20
"""Of 48 MiB that may wait: as messages, as bytes, in gRPC, and what the allocator keeps."""

QUERY = kv.encode_range(b"unread/", 1_000)


def message(stream: int, body: bytes, *, last: bool = False) -> bytes:
    return frame(DATA, int(last), stream, b"\0" + pack(">I", len(body)) + body)


def unary_calls() -> list[bytes]:
    body = pb.QueryRequest(query=QUERY, consistency=pb.STALE).SerializeToString()
    return [
        request_headers(b"/raftd.client.v1.Commands/Query", stream)
        + message(stream, body, last=True)
        for stream in range(1, 2 * CALLS, 2)
    ]


def streams() -> list[bytes]:
    made = []
    for stream in range(1, 2 * STREAMS, 2):
        made.append(request_headers(b"/raftd.client.v1.Commands/Pipeline", stream))
        for number in range(1, FRAMES + 1):
            asked = pb.QueryBatch(query=[QUERY], consistency=pb.STALE)
            body = pb.PipelineRequest(number=number, queries=asked).SerializeToString()
            made.append(message(stream, body))
    return made


@pytest.mark.parametrize("how", ["streams", "unary"])
def test_unread_answers_are_bounded_and_end(live: Live, how: str) -> None:
    """One connection took 1.8 GiB; and a limit for each would not bound what many of them take."""
    for number in range(VALUES):
        live.put(b"unread/%02d" % number, b"x" * VALUE_BYTES)
    node = live.leader
    before, cut_before = of_process(node, "VmRSS"), node.metric("raftd_connections_cut_total") or 0
    grown = 0
    calls = b"".join(unary_calls() if how == "unary" else streams())
    with contextlib.ExitStack() as open_ones:
        for _ in range(CONNECTIONS):
            open_ones.enter_context(opened(node.ports.client)).sendall(calls)
        began = time.monotonic()
        while (node.metric("raftd_connections_cut_total") or 0) == cut_before:
            live.works()
            page = live.client.range(b"unread/")  # needs room, and gets that of who reads nothing
            assert len(page.kvs) >= VALUES
            grown = (of_process(node, "VmRSS") - before) << 10
            assert grown < GROWTH_MAX
            assert time.monotonic() - began < 15, "nobody was cut"
    said(node, "cut: ")
    asked_for = CONNECTIONS * (CALLS if how == "unary" else STREAMS * FRAMES) * VALUES * VALUE_BYTES
    print(
        f"\nunread ({how}): {asked_for >> 20} MiB asked for, the node grew by {grown >> 20} MiB, "
        f"first cut after {time.monotonic() - began:.1f} s"
    )
