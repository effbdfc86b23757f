"""Three programs, each with a node in it, and one that leads is killed: every order counts once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.ports import free_ports
from raftd.client import Client
from raftd.config import Config, Peer
from raftd.objects import CommandRefused, stale
from tests.objects.shop import Shop

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


class Program:
    """A member, and the numbers of the orders that it was given."""

    def __init__(self, id: str, home: Path, peers: dict[str, list[str]]) -> None:
        words = [sys.executable, "-m", "tests.objects.member", id, str(home), json.dumps(peers)]
        self.process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.numbers: list[int] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.numbers.append(int(line))

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def peers() -> dict[str, list[str]]:
    ports = [f"127.0.0.1:{port}" for port in free_ports(6)]
    return {name: [ports.pop(), ports.pop()] for name in ("n1", "n2", "n3")}


@pytest.fixture
def programs(tmp_path: Path, peers: dict[str, list[str]]) -> Iterator[dict[str, Program]]:
    made = {id: Program(id, tmp_path, peers) for id in peers}
    yield made
    for program in made.values():
        program.kill()


@pytest.mark.cluster
@pytest.mark.long
def test_every_order_counts_once_though_the_leader_is_killed(
    programs: dict[str, Program], peers: dict[str, list[str]]
) -> None:
    clients = [client for _, client in peers.values()]
    until(lambda: all(len(program.numbers) >= 10 for program in programs.values()))
    with Client(clients, timeout=SECONDS) as client, Shop.connect(clients, timeout=SECONDS) as shop:
        leader = client.status().leader_id
        programs[leader].kill()
        rest = [program for id, program in programs.items() if id != leader]
        before = [len(program.numbers) for program in rest]
        until(lambda: all(len(each.numbers) >= n + 10 for each, n in zip(rest, before)))
        for program in rest[:1]:
            assert program.end() == 0
        # One of three is left: what was acknowledged cannot be read there, but nothing is lost.
        numbers = sorted(number for each in programs.values() for number in each.numbers)
        assert len(set(numbers)) == len(numbers), "an order was counted twice"
        assert stale(shop.orders).value() >= numbers[-1] - 1


@pytest.mark.cluster
@pytest.mark.long
def test_nodes_in_one_program_from_threads_and_tasks(
    tmp_path: Path, peers: dict[str, list[str]]
) -> None:
    def config(id: str) -> Config:
        where = {name: Peer(*each) for name, each in peers.items()}
        small = {"segment_bytes": 1 << 20, "disk_reserve": 1 << 20}
        return Config(id=id, data_dir=str(tmp_path / id), peers=where, **small)  # type: ignore[arg-type]

    shops = [Shop.open(config(id), timeout=SECONDS) for id in peers]
    first, second, third = shops

    async def use() -> list[int]:
        async with Shop.connect(peers["n2"][1], timeout=SECONDS) as shop:
            with pytest.raises(CommandRefused, match="tea has 7"):
                await shop.books.move.aio("tea", "cake", 8)
            async with shop.door.hold() as held:
                await held.guard(shop.books).book.aio("cake", held.token)
            return list(await asyncio.gather(*(shop.orders.add.aio() for _ in range(20))))

    try:
        for shop in shops:
            shop.start()
        first.stock["tea"] = 1
        assert second.stock["tea"] == 1, "linearizable on any node"
        assert second.books.book("tea", 7) == 7
        assert sorted(asyncio.run(use())) == list(range(1, 21))
        assert third.orders.value() == 20
        assert third.books.balance("cake") == 1
        assert first.node is not None
        assert first.node.snapshot().result(SECONDS)
        third.stop()
        with Shop.open(config("n3"), timeout=SECONDS) as again:
            until(lambda: stale(again.orders).value() == 20)
            assert again.jobs.put("sweep") == 1
    finally:
        for shop in shops:
            shop.stop()
