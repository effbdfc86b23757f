"""Load on raftd from one client process; prints one line of JSON, as bench/etcdload does for etcd.

python -m bench.load --endpoints a,b,c --op put --callers 64 --seconds 3

Every caller has keys of its own and remembers what was acknowledged last; at the end a fresh client
reads all of it back.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import raftd.own_process  # noqa: F401 - before the first import of grpc
from bench.facts import cpu_seconds, percentile
from harness.certificates import client_files
from raftd.client import AsyncClient, Client, RaftdError
from raftd.client.settings import Options
from raftd.wire import kv

TIMEOUT = 30.0
READ_BACK = 1000
FILL_CHUNK = 8192


@dataclass
class Caller:
    """One closed loop. Only its own thread or task touches it while the load runs."""

    number: int
    keys: int
    size: int
    latencies: array.array[float] = field(default_factory=lambda: array.array("d"))
    ends: array.array[float] = field(default_factory=lambda: array.array("d"))
    done: int = 0
    said: dict[bytes, bytes] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def key(self, turn: int) -> bytes:
        return b"key-%d-%d" % (self.number, turn % self.keys)

    def value(self, turn: int) -> bytes:
        return (b"%d:%d:" % (self.number, turn)).ljust(self.size, b"x")

    def note(self, began: float, count: int = 1) -> None:
        now = time.monotonic()
        self.latencies.append(now - began)
        self.ends.append(now)
        self.done += count

    def failed(self, error: RaftdError, keys: Sequence[bytes]) -> None:
        """The write may have happened or not: nothing is known of these keys any more."""
        self.errors.append(f"{type(error).__name__}: {error}")
        for key in keys:
            self.said.pop(key, None)


def put(caller: Caller, client: Client, until: float) -> None:
    for turn in itertools.count():
        began = time.monotonic()
        if began >= until:
            return
        key, value = caller.key(turn), caller.value(turn)
        try:
            client.put(key, value)
        except RaftdError as error:
            caller.failed(error, [key])
        else:
            caller.said[key] = value
            caller.note(began)


def get(caller: Caller, client: Client, until: float) -> None:
    for turn in itertools.count():
        began = time.monotonic()
        if began >= until:
            return
        try:
            client.get(caller.key(turn))
        except RaftdError as error:
            caller.failed(error, [])
        else:
            caller.note(began)


def bulk(chunk: int, caller: Caller, client: Client, until: float) -> None:
    """put_many of `chunk` keys at a time; a latency is that of a whole call."""
    keys = [caller.key(turn) for turn in range(caller.keys)]
    for turn in itertools.count():
        began = time.monotonic()
        if began >= until:
            return
        value = caller.value(turn)
        mine = [keys[at % caller.keys] for at in range(turn * chunk, (turn + 1) * chunk)]
        try:
            client.put_many([(key, value) for key in mine], timeout=TIMEOUT)
        except RaftdError as error:
            caller.failed(error, mine)
        else:
            caller.said.update(dict.fromkeys(mine, value))
            caller.note(began, chunk)


def fill(first: int, last: int, caller: Caller, client: Client, until: float) -> None:
    """Fresh keys number `first` to `last`, once, however long that takes."""
    for start in range(first, last, FILL_CHUNK):
        began = time.monotonic()
        value = caller.value(start)
        numbers = range(start, min(start + FILL_CHUNK, last))
        client.put_many([(fill_key(number), value) for number in numbers], timeout=120)
        caller.note(began, len(numbers))


def fill_key(number: int) -> bytes:
    return b"fill-%012d" % number


def filled_value(number: int, keys: int, callers: int, size: int) -> bytes:
    """What `fill` from 0 put there."""
    share = keys // callers
    caller = Caller(min(number // share, callers - 1), 1, size)
    first = caller.number * share
    return caller.value(first + (number - first) // FILL_CHUNK * FILL_CHUNK)


async def aput(caller: Caller, client: AsyncClient, until: float) -> None:
    for turn in itertools.count():
        began = time.monotonic()
        if began >= until:
            return
        key, value = caller.key(turn), caller.value(turn)
        try:
            await client.put(key, value)
        except RaftdError as error:
            caller.failed(error, [key])
        else:
            caller.said[key] = value
            caller.note(began)


async def aget(caller: Caller, client: AsyncClient, until: float) -> None:
    for turn in itertools.count():
        began = time.monotonic()
        if began >= until:
            return
        try:
            await client.get(caller.key(turn))
        except RaftdError as error:
            caller.failed(error, [])
        else:
            caller.note(began)


Job = Callable[[Caller, Client, float], None]


class Meter:
    """CPU time of this process and of the servers, from `start` to `stop`."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids

    def start(self) -> float:
        self._before = {pid: cpu_seconds(pid) for pid in self._pids}
        self._mine = time.process_time()
        self._began = time.monotonic()
        return self._began

    def stop(self) -> None:
        self.seconds = time.monotonic() - self._began
        self.client = time.process_time() - self._mine
        self.servers = {str(pid): cpu_seconds(pid) - self._before[pid] for pid in self._pids}


def blocking(options: argparse.Namespace, callers: list[Caller], meter: Meter) -> None:
    """Threads on one client, or on one client each."""
    jobs: dict[str, Job] = {"put": put, "get": get}

    def job_of(caller: Caller) -> Job:
        if options.op == "bulk":
            return lambda *rest: bulk(options.chunk, *rest)
        if options.op == "fill":
            share = options.keys // len(callers)
            first = options.first + caller.number * share
            return lambda *rest: fill(first, first + share, *rest)
        return jobs[options.op]

    count = len(callers) if options.own_clients else 1
    clients = [Client(options.endpoints, **chosen(options)) for _ in range(count)]
    for number, client in enumerate(clients):
        client.put(b"warm-up-%d" % number, b"")  # connected, and the session is open
        client.get(b"warm-up-0")
    until = meter.start() + options.seconds
    threads = [
        threading.Thread(
            target=job_of(caller), args=(caller, clients[caller.number % count], until), daemon=True
        )
        for caller in callers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.stop()
    for client in clients:
        client.close()


def chosen(options: argparse.Namespace) -> Options:
    """What the client is made with; its transport only if one was named."""
    made: Options = {"timeout": options.timeout, **credentials(options.tls)}
    if options.transport:
        made["transport"] = options.transport
    return made


async def asynchronous(options: argparse.Namespace, callers: list[Caller], meter: Meter) -> None:
    job = {"aput": aput, "aget": aget}[options.op]
    async with AsyncClient(options.endpoints, **chosen(options)) as client:
        await client.put(b"warm-up", b"")
        await client.get(b"warm-up")
        until = meter.start() + options.seconds
        await asyncio.gather(*(job(caller, client, until) for caller in callers))
        meter.stop()


def credentials(tls: Path | None) -> Options:
    """Of the client whose certificate harness.certificates has made there; None: plain text."""
    if tls is None:
        return {}
    files = client_files(tls)
    return {"ca": files.ca, "cert": files.cert, "key": files.key}


def read_back(options: argparse.Namespace, callers: Sequence[Caller]) -> tuple[int, list[str]]:
    """(keys looked at, those that differ from what was acknowledged), through a fresh client."""
    pairs = [pair for caller in callers for pair in caller.said.items()][:READ_BACK]
    wrong = []
    own: Options = {**credentials(options.tls), "timeout": TIMEOUT}
    with Client(options.endpoints, **own) as client, ThreadPoolExecutor(32) as pool:

        def found(pair: tuple[bytes, bytes]) -> kv.KeyValue | None:
            return client.get(pair[0]).kv

        for (key, value), item in zip(pairs, pool.map(found, pairs), strict=True):
            if item is None or item.value != value:
                wrong.append(repr(key))
    return len(pairs), wrong


def summary(callers: Sequence[Caller], meter: Meter) -> dict[str, object]:
    latencies = sorted(itertools.chain.from_iterable(caller.latencies for caller in callers))
    ends = sorted(itertools.chain.from_iterable(caller.ends for caller in callers))
    errors = [line for caller in callers for line in caller.errors]
    if not latencies:
        raise SystemExit(f"bench.load: not one call succeeded: {errors[:1]}")
    done = sum(caller.done for caller in callers)
    return {
        "ops": done,
        "seconds": meter.seconds,
        "rate": done / meter.seconds,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "max_ms": latencies[-1] * 1e3,
        "silence_ms": max((b - a for a, b in itertools.pairwise(ends)), default=0.0) * 1e3,
        "errors": len(errors),
        "first_error": errors[0] if errors else "",
        "client_cpu_s": meter.client,
        "server_cpu_s": meter.servers,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    add = parser.add_argument
    add("--endpoints", required=True)
    add("--transport", choices=["h2", "grpcio"], help="the client's; else its default")
    add("--tls", type=Path, help="where certificates are: TLS")
    add("--op", required=True, choices=["put", "get", "bulk", "fill", "aput", "aget"])
    add("--callers", type=int, default=64)
    add("--own-clients", action="store_true", help="one client a caller: no coalescing")
    add("--seconds", type=float, default=3)
    add("--value", type=int, default=256, help="bytes")
    add("--keys", type=int, default=1024, help="over all callers; fill: how many to make")
    add("--first", type=int, default=0, help="fill: number of the first key")
    add("--chunk", type=int, default=4096, help="bulk: keys in one put_many")
    add("--timeout", type=float, default=TIMEOUT, help="of one call, seconds")
    add("--pids", default="", help="of the servers, with commas")
    add("--samples", type=Path, help="write (end, latency) of every call there: pairs of doubles")
    options = parser.parse_args(argv)
    keys = max(1, options.keys // options.callers)
    callers = [Caller(number, keys, options.value) for number in range(options.callers)]
    meter = Meter([int(pid) for pid in options.pids.split(",") if pid])
    if options.op.startswith("a"):
        asyncio.run(asynchronous(options, callers, meter))
    else:
        blocking(options, callers, meter)
    answer = summary(callers, meter)
    if options.samples:
        pairs = sorted(pair for caller in callers for pair in zip(caller.ends, caller.latencies))
        options.samples.write_bytes(array.array("d", itertools.chain.from_iterable(pairs)))
    checked, wrong = read_back(options, callers)
    answer |= {"checked": checked, "wrong": len(wrong), "first_wrong": wrong[:1]}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
