"""What is done to containers, and how it is undone. One line of the printed table each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from harness.containers import Containers, ContainerTrouble, docker, wait_until

Act = Callable[[Containers, Sequence[str]], None]
GRACE_SECONDS = 20.0
"""stop_grace_period of the compose files."""
CRASHES = 4
"""Docker waits twice as long each time, from 0.1 s on."""


class Fault(NamedTuple):
    """victims: how many nodes, the leader among them if leader. hold: seconds between the two acts.

    quorum: a majority stays, so writes must go on. calls_fail: a retrying client may see errors.
    """

    name: str
    hurt: Act
    heal: Act
    leader: bool
    victims: int = 1
    hold: float = 2.5
    quorum: bool = True
    calls_fail: bool = True


def kill(cluster: Containers, victims: Sequence[str]) -> None:
    docker("kill", *(cluster.container(service) for service in victims))


def start(cluster: Containers, victims: Sequence[str]) -> None:
    for service in victims:
        docker("start", cluster.container(service))


def start_in_other_order(cluster: Containers, victims: Sequence[str]) -> None:
    """Docker gives addresses away in the order of starting: everybody has somebody else's now."""
    before = {service: cluster.address(service) for service in cluster.services}
    start(cluster, list(reversed(victims)))
    after = {service: cluster.address(service) for service in victims}
    moved = sum(before[service] != after[service] for service in victims)
    print(f"      ({moved} of {len(victims)} have another address than before)")


def pause(cluster: Containers, victims: Sequence[str]) -> None:
    docker("pause", *(cluster.container(service) for service in victims))


def unpause(cluster: Containers, victims: Sequence[str]) -> None:
    docker("unpause", *(cluster.container(service) for service in victims))


def disconnect(cluster: Containers, victims: Sequence[str]) -> None:
    for service in victims:
        cluster.disconnect(service)


def connect(cluster: Containers, victims: Sequence[str]) -> None:
    for service in victims:
        cluster.connect(service)


def stop(cluster: Containers, victims: Sequence[str]) -> None:
    """SIGTERM. Must end within the grace period with exit code 0, the leader by handing over."""
    begun = time.monotonic()
    docker("stop", *(cluster.container(service) for service in victims))
    took = time.monotonic() - begun
    for service in victims:
        code = cluster.inspect(service)["State"]["ExitCode"]
        if code != 0 or took >= GRACE_SECONDS:
            raise ContainerTrouble(
                f"{service} ended with exit code {code} after {took:.1f} s; its log says\n"
                f"{cluster.logs(service)}"
            )
    print(f"      (docker stop took {took:.1f} s, exit code 0)")


def recreate(cluster: Containers, victims: Sequence[str]) -> None:
    """A new container on the old volume, as after a new image."""
    cluster.compose("up", "-d", "--no-deps", "--no-build", "--force-recreate", *victims)


def crash(cluster: Containers, victims: Sequence[str]) -> None:
    """kill -9 of the daemon alone, inside: the restart policy must bring it back by itself."""
    for service in victims:
        cluster.inside(service, "kill -9 $(cat /proc/1/task/1/children)")


def crash_loop(cluster: Containers, victims: Sequence[str]) -> None:
    """kill -9, again and again, as soon as it runs: wherever the start has got to by then."""
    for service in victims:
        for round in range(CRASHES):
            wait_until(lambda: _crashed(cluster, service), 30, f"{service} to run")  # noqa: B023
            wait_restarted(cluster, [service], round)


def _crashed(cluster: Containers, service: str) -> bool:
    try:
        crash(cluster, [service])
    except ContainerTrouble:
        return False  # between two lives
    return True


def wait_restarted(cluster: Containers, victims: Sequence[str], before: int = 0) -> None:
    for service in victims:
        wait_until(
            lambda: int(cluster.inspect(service)["RestartCount"]) > before,  # noqa: B023
            20,
            f"docker to restart {service}",
        )


def stop_twice(cluster: Containers, victims: Sequence[str]) -> None:
    """A second signal ends the daemon at once, and leaves a directory that `inspect` accepts."""
    for service in victims:
        name = cluster.container(service)
        docker("update", "--restart", "no", name)
        cluster.inside(service, "d=$(cat /proc/1/task/1/children); kill -TERM $d; kill -INT $d")
        code = docker("wait", name, timeout=10).strip()
        if code != "130":
            raise ContainerTrouble(
                f"{service} ended with exit code {code} after two signals; expected 130\n"
                f"{cluster.logs(service)}"
            )
        docker(
            "run", "--rm", "--volumes-from", name, "--read-only", "--cap-drop", "ALL",
            str(cluster.inspect(service)["Config"]["Image"]), "inspect", "/var/lib/raftd",
        )  # fmt: skip


def start_again(cluster: Containers, victims: Sequence[str]) -> None:
    for service in victims:
        docker("update", "--restart", "unless-stopped", cluster.container(service))
    start(cluster, victims)


THREE = (
    Fault("kill the leader", kill, start, leader=True),
    Fault("kill a follower", kill, start, leader=False),
    Fault("pause the leader", pause, unpause, leader=True, hold=4),
    Fault("pause a follower", pause, unpause, leader=False),
    Fault("disconnect the leader", disconnect, connect, leader=True, hold=4),
    Fault("disconnect a follower", disconnect, connect, leader=False),
    Fault("SIGTERM to the leader, new container", stop, recreate, leader=True, calls_fail=False),
    Fault("SIGTERM and SIGINT to the leader", stop_twice, start_again, leader=True),
    Fault("crash of the leader, restart policy", crash, wait_restarted, leader=True, hold=0),
    Fault(
        "kill all, start in another order", kill, start_in_other_order,
        leader=True, victims=3, hold=0.5, quorum=False,
    ),
)  # fmt: skip

FIVE = (
    Fault("kill the leader and a follower", kill, start_in_other_order, leader=True, victims=2),
    Fault("pause the leader and a follower", pause, unpause, leader=True, victims=2, hold=4),
    Fault("disconnect the leader and a follower", disconnect, connect, True, victims=2, hold=4),
    Fault("SIGTERM to the leader", stop, start, leader=True, calls_fail=False),
    Fault("crash loop of a follower", crash_loop, wait_restarted, leader=False, hold=0),
)
