"""A flood of watches, a process of its own.

python -m harness.watch_flood WATCHES PORTS [CA CERT KEY]

Four callers, each with a quarter of the watches: one creates them on one stream, all from the
oldest revision, and cancels them; one has a stream for every ten, opened and left; one asks
for progress as often, with five hundred watchers; one creates them and reads no answer. Ends when
the first three have been told everything.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from raftd._pb import etcd_pb2 as pb
from raftd.tls.contexts import grpc_channel
from raftd.tls.files import TlsFiles

METHOD = "/etcdserverpb.Watch/Watch"
STREAM_WATCHES, STREAMS_AT_ONCE, PROGRESS_WATCHES = 10, 50, 500
UNREAD_MAX = 512
"""Requests that are written before answers are read."""
RANGES = ((b"big/", b"big0"), (b"good/", b"good0"), (b"\0", b"\0"), (b"good/7", b""))
"""What the others of scripts/strangers.py put."""


def create(number: int, start: int) -> pb.WatchRequest:
    key, end = RANGES[number % len(RANGES)]
    return pb.WatchRequest(
        create_request=pb.WatchCreateRequest(key=key, range_end=end, start_revision=start)
    )


@asynccontextmanager
async def stream(port: int, files: TlsFiles | None) -> AsyncIterator[Any]:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    where = f"127.0.0.1:{port}"
    if files is None:
        channel = aio.insecure_channel(where, options)
    else:
        options.append(("grpc.ssl_target_name_override", "localhost"))  # type: ignore[arg-type]
        channel = aio.secure_channel(where, grpc_channel(files), options)
    async with channel:
        yield channel.stream_stream(
            METHOD, pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )


async def told(call: Any, count: int, kind: Callable[[pb.WatchResponse], bool]) -> None:
    """Read until so many answers of a kind have come."""
    while count:
        answer = await call.read()
        if not isinstance(answer, pb.WatchResponse):
            raise SystemExit(f"watch_flood: a stream has ended: {await call.details()}")
        count -= kind(answer)


async def said(
    call: Any, requests: Sequence[pb.WatchRequest], kind: Callable[[pb.WatchResponse], bool]
) -> None:
    for at in range(0, len(requests), UNREAD_MAX):
        some = requests[at : at + UNREAD_MAX]
        for request in some:
            await call.write(request)
        await told(call, len(some), kind)


async def of_one_stream(port: int, files: TlsFiles | None, count: int) -> None:
    async with stream(port, files) as open_stream:
        call = open_stream()
        await said(call, [create(n, 1) for n in range(count)], lambda got: got.created)
        cancels = [
            pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=n)) for n in range(count)
        ]
        await said(call, cancels, lambda got: got.canceled)
        call.cancel()


async def of_many_streams(port: int, files: TlsFiles | None, count: int) -> None:
    async with stream(port, files) as open_stream:
        for _ in range(0, count, STREAM_WATCHES * STREAMS_AT_ONCE):
            calls = [open_stream() for _ in range(STREAMS_AT_ONCE)]
            creates = [create(n, 1) for n in range(STREAM_WATCHES)]
            await asyncio.gather(*[said(call, creates, lambda got: got.created) for call in calls])
            for call in calls:
                call.cancel()


async def of_progress(port: int, files: TlsFiles | None, count: int) -> None:
    asks = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
    async with stream(port, files) as open_stream:
        call = open_stream()
        creates = [create(n, 0) for n in range(PROGRESS_WATCHES)]
        await said(call, creates, lambda got: got.created)
        await said(call, [asks] * count, lambda got: got.watch_id == -1)
        call.cancel()


async def unread(port: int, files: TlsFiles | None, count: int) -> None:
    async with stream(port, files) as open_stream:
        call = open_stream()
        try:
            for number in range(count):
                await call.write(create(number, 1))
            await asyncio.get_running_loop().create_future()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # it was cut, as whoever reads nothing may be


async def flood(watches: int, ports: Sequence[int], files: TlsFiles | None) -> None:
    each = watches // 4
    silent = asyncio.ensure_future(unread(ports[0], files, each))
    kinds: tuple[Callable[[int, TlsFiles | None, int], Awaitable[None]], ...] = (
        of_one_stream, of_many_streams, of_progress,
    )  # fmt: skip
    try:
        await asyncio.gather(
            *[kind(ports[at % len(ports)], files, each) for at, kind in enumerate(kinds)]
        )
    finally:
        silent.cancel()
        await asyncio.gather(silent, return_exceptions=True)


def main(argv: Sequence[str]) -> int:
    watches, ports, *names = argv
    files = None if not names else TlsFiles("", names[1], names[2], names[0])
    try:
        asyncio.run(flood(int(watches), [int(port) for port in ports.split(",")], files))
    except grpc.RpcError as error:
        raise SystemExit(f"watch_flood: {error}") from None
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
