"""Runs the comparison against two servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.etcd.client import EtcdClient, Failed
from tests.etcd.differential.compare import plain
from tests.etcd.differential.requests import Asked, Requests
from tests.etcd.differential.watching import Pair

SETTLE_EVERY = 200
SETTLE_SECONDS = 10.0
WATCHERS_MAX = 8


@dataclass(slots=True)
class Report:
    requests: int = 0
    failures: int = 0
    events: int = 0
    watchers: int = 0
    differences: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        errors = ", ".join(f"{count} x {text}" for text, count in sorted(self.errors.items()))
        return (
            f"{self.requests} requests, {self.failures} of them refused ({errors}), "
            f"{self.watchers} watchers, {self.events} events: {len(self.differences)} differences"
        )


async def compare(etcd: str, raftd: str, count: int, seed: int, most: int = 5) -> Report:
    """Both servers must be fresh. Ends early after `most` differences."""
    report, requests, random = Report(), Requests(seed), Random(seed + 1)
    clients = EtcdClient(etcd), EtcdClient(raftd)
    pair = Pair(*clients)
    try:
        for number in range(count):
            asked = requests.next()
            if asked.name == "Compact":
                await pair.caught_up()
                pair = await _settle(report, number, pair, clients)
            one, other = await asyncio.gather(*(ask(client, asked) for client in clients))
            report.requests += 1
            _learn(requests, asked, one)
            _note(report, number, asked, one, other)
            if random.random() < 0.02 and not report.differences:
                await pair.create(requests.watch())
                report.watchers += 1
            if pair.created and random.random() < 0.005:
                pair = await _settle(report, number, pair, clients)
                if pair.created:
                    await pair.cancel(random.randrange(pair.created))
            if number % SETTLE_EVERY == SETTLE_EVERY - 1:
                pair = await _settle(report, number, pair, clients)
            if len(report.differences) >= most:
                break
        pair = await _settle(report, count, pair, clients, last=True)
    finally:
        pair.close()
        for client in clients:
            await client.close()
    return report


async def ask(client: EtcdClient, asked: Asked) -> Any:
    if asked.name == "LeaseKeepAlive":
        return await client.renew(asked.request.ID)
    return await client.call(asked.service, asked.name, asked.request)


def _learn(requests: Requests, asked: Asked, answer: Any) -> None:
    if isinstance(answer, Failed):
        return
    requests.seen.revision = max(requests.seen.revision, answer.header.revision)
    if asked.name == "Compact":
        requests.seen.compacted = asked.request.revision


def _note(report: Report, number: int, asked: Asked, one: Any, other: Any) -> None:
    if isinstance(one, Failed):
        report.failures += 1
        report.errors[one.text] = report.errors.get(one.text, 0) + 1
    if plain(one) != plain(other):
        report.differences.append(
            f"request {number}: {asked.service}.{asked.name} {{{_line(asked.request)}}}\n"
            f"    etcd:  {_line(one)}\n    raftd: {_line(other)}"
        )


def _line(message: object) -> str:
    return " ".join(str(message).split())[:2000]


async def _settle(
    report: Report,
    number: int,
    pair: Pair,
    clients: tuple[EtcdClient, EtcdClient],
    last: bool = False,
) -> Pair:
    """Compare what was watched; begin with a new stream when this one has many watchers."""
    difference = await pair.settle(SETTLE_SECONDS)
    if difference:
        report.differences.append(f"after request {number}: {difference}")
    if pair.created < WATCHERS_MAX and not difference and not last:
        return pair
    report.events += sum(map(len, pair.sides[0].events.values()))
    pair.close()
    return Pair(*clients)
