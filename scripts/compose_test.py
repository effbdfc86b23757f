"""Three containers, then five: hurt and healed one fault after the other while the host writes.

Builds the image, starts docker-compose.yml and docker-compose.5.yml under names and ports of their
own, and writes through the published ports all the time. In the end every acknowledged write must
be on every node, each executed once, and all nodes equal. Leaves no container, network or volume.

Exit codes: 0 all of it held, or docker cannot be had here (said in one line); 1 it did not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple

from harness.containers import Containers, ContainerTrouble, compose_command, missing, wait_until
from harness.writers import Writers, WrongState
from raftd.client import Client, RaftdError
from scripts import compose_members
from scripts.compose_faults import FIVE, THREE, Fault
from scripts.compose_image import build, check_image
from scripts.compose_members import JOIN_FILE, NEW

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
THREADS = 4
CALL_SECONDS = 30.0
PACE_SECONDS = 0.004
"""Between two writes of a thread: the machine has better to do than to store our numbers."""
SILENCE_MAX_SECONDS = 10.0
"""While a majority lives. Far above what is usual: the machine may be busy with other things."""
LEVEL_SECONDS = 90.0
FIRST_SECONDS = 90.0
"""Five interpreters that start at once on a busy machine."""
HEALTHY_SECONDS = 60.0


class Row(NamedTuple):
    """What one fault did. Times in seconds."""

    fault: str
    victims: str
    silence: float
    level: float
    errors: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compose_test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", choices=("3", "5", "both"), default="both")
    parser.add_argument("--fault", metavar="TEXT", default="", help="only faults that contain TEXT")
    arguments = parser.parse_args(argv)
    if why := missing():
        print(f"compose-test: skipped: {why}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    begun = time.monotonic()
    try:
        print(f"compose-test: with `{' '.join(compose_command())}`")
        build()
        check_image()
        if arguments.nodes in ("3", "both"):
            _cluster("docker-compose.yml", ["n1", "n2", "n3"], _only(THREE, arguments.fault), True)
        if arguments.nodes in ("5", "both"):
            services = [f"m{number}" for number in range(1, 6)]
            _cluster("docker-compose.5.yml", services, _only(FIVE, arguments.fault))
    except (ContainerTrouble, WrongState, RaftdError) as error:
        print(f"compose-test: FAILED: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("compose-test: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(f"compose-test: all of it held; took {time.monotonic() - begun:.0f} s")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _only(faults: Sequence[Fault], text: str) -> list[Fault]:
    return [fault for fault in faults if text in fault.name]


@contextlib.contextmanager
def _removed_in_the_end(cluster: Containers) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for service in cluster.services:
            with contextlib.suppress(Exception):
                print(f"--- {service}\n{cluster.logs(service, 25)}", file=sys.stderr)
        raise
    finally:
        cluster.remove()


def _cluster(
    file: str, services: Sequence[str], faults: Sequence[Fault], exchange: bool = False
) -> None:
    """exchange: in the end one more joins, and the first one leaves."""
    name = f"raftd-test-{os.getpid()}-{len(services)}"
    later = (JOIN_FILE, [NEW]) if exchange else ("", ())
    cluster = Containers(file, services, name, *later)
    print(f"\n{len(services)} nodes ({file})")
    with _removed_in_the_end(cluster), Client(cluster.endpoints, timeout=CALL_SECONDS) as client:
        begun = time.monotonic()
        cluster.compose("up", "-d", "--no-build", *services)
        started = time.monotonic()
        client.put(b"first", b"write", timeout=FIRST_SECONDS)
        served = time.monotonic()
        cluster.wait_level(client, LEVEL_SECONDS)
        print(
            f"  start: `up -d` took {started - begun:.1f} s, the first write was acknowledged "
            f"{served - started:.1f} s later, all nodes served after "
            f"{time.monotonic() - begun:.1f} s"
        )
        writers = Writers([client] * THREADS, pace_seconds=PACE_SECONDS).start()
        wait_until(lambda: len(writers.book.acked) >= 100, 20, "the first 100 writes")
        rows = [_one(cluster, client, writers, fault) for fault in faults]
        if exchange:
            compose_members.exchange(cluster, client, writers)
        writers.stop()
        _table(rows)
        _verify(cluster, client, writers)


def _one(cluster: Containers, client: Client, writers: Writers, fault: Fault) -> Row:
    """Hurt, wait, heal, wait until all nodes are level, and let writes go on."""
    leader = cluster.leader(client)
    others = [service for service in cluster.services if service != leader]
    random.shuffle(others)
    victims = ([leader] if fault.leader else []) + others
    victims = victims[: fault.victims]
    book = writers.book
    errors = len(book.errors)
    begun = time.monotonic()
    print(f"    {fault.name}: {', '.join(victims)}", flush=True)
    fault.hurt(cluster, victims)
    if fault.quorum:
        goal = len(book.acked) + 50
        wait_until(lambda: len(book.acked) >= goal, LEVEL_SECONDS, "writes to go on")
    time.sleep(max(0.0, fault.hold - (time.monotonic() - begun)))
    healed = time.monotonic()
    fault.heal(cluster, victims)
    cluster.wait_level(client, LEVEL_SECONDS)
    level = time.monotonic() - healed
    goal = len(book.acked) + 50
    wait_until(lambda: len(book.acked) >= goal, LEVEL_SECONDS, "writes to go on")
    silence = book.silence(begun, time.monotonic())
    failed = len(book.errors) - errors
    if fault.quorum and silence > SILENCE_MAX_SECONDS:
        raise WrongState(f"{fault.name}: no write was acknowledged for {silence:.1f} s")
    if failed and not fault.calls_fail:
        raise WrongState(f"{fault.name}: {failed} calls failed: {book.errors[-1]}")
    return Row(fault.name, " ".join(victims), silence, level, failed)


def _table(rows: Sequence[Row]) -> None:
    width = max((len(row.fault) for row in rows), default=5)
    print(f"\n  {'fault':<{width}}  victims      longest silence  level after heal  failed calls")
    for row in rows:
        print(
            f"  {row.fault:<{width}}  {row.victims:<11}  {row.silence * 1000:>12.0f} ms"
            f"  {row.level:>14.1f} s  {row.errors:>12}"
        )


def _verify(cluster: Containers, client: Client, writers: Writers) -> None:
    """Raises WrongState unless all nodes are equal and hold what was acknowledged."""
    cluster.wait_level(client, LEVEL_SECONDS)
    wait_until(cluster.healthy, HEALTHY_SECONDS, "docker to call every container healthy")
    some = cluster.digest(client, LEVEL_SECONDS)
    book = writers.book
    present = []
    for service in cluster.services:
        with Client([cluster.endpoint(service)], timeout=CALL_SECONDS) as direct:
            writers.check(direct, service)
        present.append(f"{service} {len(book.acked)}")
    print(f"\n  acknowledged {len(book.acked)} writes; present: {', '.join(present)}")
    print(f"  unknown      {len(book.unknown)} outcomes, {len(book.errors)} failed calls in all")
    print(
        f"  equal        digest {some.digest.hex()[:16]} at index {some.applied_index} everywhere"
    )


if __name__ == "__main__":
    sys.exit(main())
