"""`python -m bench.watching`: one store, many watchers, many keys; nobody may miss an event.

Prints one line: CPU a put without and with watchers, events a second of CPU, and what the queues
held at most. In one process, without Raft and without a network: what a node pays on its network
thread, beside what it pays for the put.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time

from raftd.machine.kv.store import KvStore
from raftd.machine.kv.watcher import Watcher
from raftd.wire import kv
from raftd.wire.spans import prefix_end


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.watching", description=__doc__)
    parser.add_argument("--watchers", type=int, default=1_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--puts", type=int, default=50_000)
    parser.add_argument("--slow", type=float, default=0.1, help="share that takes at the end only")
    options = parser.parse_args()
    bare = measure(options.puts, options.keys, 0, 0.0)
    full = measure(options.puts, options.keys, options.watchers, options.slow)
    cpu, plain = full["cpu"] / options.puts * 1e6, bare["cpu"] / options.puts * 1e6
    sys.stdout.write(
        f"watchers {options.watchers}, keys {options.keys}, puts {options.puts}: "
        f"{plain:.1f} us of CPU a put without watchers, {cpu:.1f} with; "
        f"events {full['events']:.0f}, missed {full['missed']:.0f}; queues held at most "
        f"{full['queued'] / 1e6:.1f} MB, memory at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB\n"
    )
    return 1 if full["missed"] else 0


def measure(puts: int, keys: int, watchers: int, slow: float) -> dict[str, float]:
    """Each watcher has a prefix of its own."""
    rng, store = random.Random(1), KvStore()
    ready: list[int] = []
    taken = [0] * watchers
    wanted = [0] * watchers
    subscribed = [_subscribe(store, number, ready) for number in range(watchers)]
    lazy = {number for number in range(watchers) if rng.random() < slow}
    chosen = [rng.randrange(keys) for _ in range(puts)]
    commands = [kv.encode_put(_key(number, max(watchers, 1)), bytes(256)) for number in chosen]
    queued = 0
    began = time.process_time()
    for index, command in enumerate(commands):
        store.apply(command)
        store.on_applied(index)
        if ready and index % 64 == 0:
            queued = max(queued, store.watches.queued_bytes)
            for number in ready:
                if number not in lazy:
                    _take(subscribed[number], taken, number)
            ready.clear()
    for number, watcher in enumerate(subscribed):
        _take(watcher, taken, number)
    cpu = time.process_time() - began
    for number in chosen if watchers else ():
        wanted[number % watchers] += 1
    missed = sum(abs(had - want) for had, want in zip(taken, wanted, strict=True))
    return {"cpu": cpu, "events": sum(taken), "missed": missed, "queued": queued}


def _key(number: int, watchers: int) -> bytes:
    return b"w%05d/%06d" % (number % watchers, number)


def _subscribe(store: KvStore, number: int, ready: list[int]) -> Watcher:
    prefix = b"w%05d/" % number
    return store.watches.subscribe(
        prefix, prefix_end(prefix), on_ready=lambda: ready.append(number)
    )


def _take(watcher: Watcher, taken: list[int], number: int) -> None:
    more = True
    while more:
        delivery = watcher.take()
        taken[number] += sum(len(events) for _, events in delivery.revisions)
        more = delivery.more


if __name__ == "__main__":
    sys.exit(main())
