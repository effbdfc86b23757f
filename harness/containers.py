"""A compose cluster from the outside: start, hurt and heal its containers, ask its nodes.

Only the docker command line and the published client ports are used, as any user would.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.ports import free_ports
from raftd.client import Client, RaftdError
from raftd.client.delivery.nodes import Digest, NodeStatus

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "raftd:compose-test"
COMMAND_SECONDS = 60.0
BUILD_SECONDS = 600.0
LOG_LINES = 15


class ContainerTrouble(Exception):
    """A container or docker itself did not do what was asked or waited for."""


def missing() -> str:
    """Why containers cannot be had here, in a few words; empty when they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        answer = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "the docker daemon does not answer"
    if answer.returncode:
        return "the docker daemon cannot be reached"
    return "" if compose_command() else "there is neither `docker compose` nor `docker-compose`"


def compose_command() -> list[str]:
    """The words that call Compose (COMPOSE overrides); empty if there is none."""
    if "COMPOSE" in os.environ:
        return os.environ["COMPOSE"].split()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        plugin = ["docker", "compose"]
        if not subprocess.run([*plugin, "version"], capture_output=True, timeout=20).returncode:
            return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else []


def docker(*words: str, timeout: float = COMMAND_SECONDS) -> str:
    """What `docker words...` prints. Raises ContainerTrouble."""
    return run(["docker", *words], timeout)


def run(words: Sequence[str], timeout: float, environment: dict[str, str] | None = None) -> str:
    shown = " ".join(words)
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT,
            env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ContainerTrouble(f"`{shown}` did not end within {timeout:g} s") from None
    if done.returncode:
        raise ContainerTrouble(f"`{shown}` failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> float:
    """Poll until true; the seconds it took. Raises ContainerTrouble."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise ContainerTrouble(f"waited {timeout:g} s for {what}")
        time.sleep(0.05)
    return time.monotonic() - start


@dataclass
class Containers:
    """One cluster of a compose file, under names and host ports of its own. One thread.

    overlay: a further file, with services of its own that may come later.
    """

    file: str
    services: Sequence[str]
    name: str
    overlay: str = ""
    later: Sequence[str] = ()
    ports: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        names = [*self.services, *self.later]
        self.ports = dict(zip(names, free_ports(len(names))))

    # -- compose ---------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What the variables of the compose files must be for this cluster."""
        mine = {"CLUSTER": self.name, "RAFTD_IMAGE": IMAGE}
        mine |= {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        return {**os.environ, **mine}

    def compose(self, *words: str, timeout: float = COMMAND_SECONDS) -> str:
        files = ["-f", self.file] + (["-f", self.overlay] if self.overlay else [])
        command = [*compose_command(), "-p", self.name, *files, *words]
        return run(command, timeout, self.environment())

    def remove(self) -> None:
        """Containers, network and volumes; also what a half-finished start left."""
        self.compose("down", "--volumes", "--timeout", "0")

    # -- containers ------------------------------------------------------------------------

    def container(self, service: str) -> str:
        return f"{self.name}-{service}"

    def inspect(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.container(service)))
        return found[0]

    def address(self, service: str) -> str:
        """In the cluster's network; empty while it is not connected or down."""
        network = self.inspect(service)["NetworkSettings"]["Networks"].get(self.name)
        return str(network["IPAddress"]) if network else ""

    def healthy(self) -> bool:
        """Whether docker's own health check says so of every container."""
        states = [self.inspect(service)["State"]["Health"]["Status"] for service in self.services]
        return set(states) == {"healthy"}

    def disconnect(self, service: str) -> None:
        docker("network", "disconnect", self.name, self.container(service))

    def connect(self, service: str) -> None:
        docker("network", "connect", self.name, self.container(service))

    def inside(self, service: str, script: str) -> str:
        """Run a shell script in the container, as the daemon's user."""
        return docker("exec", self.container(service), "sh", "-c", script)

    def logs(self, service: str, lines: int = LOG_LINES) -> str:
        words = ["docker", "logs", "--tail", str(lines), self.container(service)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        return "\n".join(line[:400] for line in (done.stdout + done.stderr).splitlines())

    # -- nodes -----------------------------------------------------------------------------

    def endpoint(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service]}"

    @property
    def endpoints(self) -> list[str]:
        return [self.endpoint(service) for service in self.services]

    def statuses(self, client: Client) -> dict[str, NodeStatus]:
        """Of the nodes that answer within a second each."""
        return dict(self._statuses(client))

    def _statuses(self, client: Client) -> Iterator[tuple[str, NodeStatus]]:
        for service in self.services:
            with contextlib.suppress(RaftdError):
                yield service, client.status(self.endpoint(service), timeout=1.0)

    def leader(self, client: Client, timeout: float = 20) -> str:
        """The service whose node leads in the highest term, waited for."""
        found: list[str] = []

        def look() -> bool:
            leaders = [
                (status.term, service)
                for service, status in self._statuses(client)
                if status.role == "leader"
            ]
            found[:] = [service for _, service in sorted(leaders)[-1:]]
            return bool(found)

        wait_until(look, timeout, "a leader")
        return found[0]

    def wait_level(self, client: Client, timeout: float) -> float:
        """Until every node answers and has applied all that was committed when this was called.

        Returns the seconds that took.
        """
        target = 0
        behind: dict[str, str] = {}

        def level() -> bool:
            nonlocal target
            reports = self.statuses(client)
            if target == 0 and any(report.role == "leader" for report in reports.values()):
                target = max(report.commit_index for report in reports.values())
            behind.clear()
            for service in self.services:
                report = reports.get(service)
                if report is None:
                    behind[service] = "does not answer"
                elif not target or report.applied_index < target or not report.healthy:
                    problems = "; ".join(report.problems)
                    behind[service] = f"applied {report.applied_index} of {target} {problems}"
            return not behind

        try:
            return wait_until(level, timeout, "all nodes to be level")
        except ContainerTrouble as error:
            raise ContainerTrouble(f"{error}: {behind}") from None

    def digest(self, client: Client, timeout: float) -> Digest:
        """What all nodes say of one index. Raises ContainerTrouble: they differ, or never meet."""
        found: dict[str, Digest] = {}

        def at_one_index() -> bool:
            found.update(
                (service, client.digest(self.endpoint(service))) for service in self.services
            )
            return len({digest.applied_index for digest in found.values()}) == 1

        wait_until(at_one_index, timeout, "digests at one index")
        if len(set(found.values())) > 1:
            raise ContainerTrouble(f"the nodes have diverged: {found}")
        return next(iter(found.values()))
