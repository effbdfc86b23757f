"""Nodes of a local cluster as processes: configure, start, signal, wait, clean up.

Used by the demo, by `make up` and by the cluster tests. Everything of a node is in one directory:
node.yaml, data/, log (stderr) and pid.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.ports import free_ports
from harness.transport import node_settings

ROOT = Path(__file__).resolve().parents[1]

LINE_SHOWN = 400


class NodeTrouble(Exception):
    """A node did not do what was waited for. The message ends with the last lines of its log."""


@dataclass(frozen=True)
class Ports:
    peer: int
    client: int
    admin: int


@dataclass
class Node:
    """One node. Methods: one thread at a time. program: the module that is the daemon. wrapper:
    what its command is put behind; it must end in an exec.
    """

    id: str
    directory: Path
    ports: Ports
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    program: str = "raftd.cli.raftd_main"
    wrapper: Sequence[str] = ()

    @property
    def client_address(self) -> str:
        return f"127.0.0.1:{self.ports.client}"

    @property
    def config_path(self) -> Path:
        return self.directory / "node.yaml"

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    @property
    def pid_path(self) -> Path:
        return self.directory / "pid"

    @property
    def data_path(self) -> Path:
        return self.directory / "data"

    # -- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process; does not wait for it to serve."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**_clean_environment(), **self.environment},
                start_new_session=True,  # Ctrl-C is for whoever started us; we stop nodes in order
            )
        self.pid_path.write_text(str(self.process.pid))

    def command(self) -> list[str]:
        """To be run in `directory`."""
        serve = [sys.executable, "-m", self.program, "serve", "--config", "node.yaml"]
        return [*self.wrapper, *serve]

    def pid(self) -> int | None:
        """Of the running process, even if an earlier program started it; None if there is none."""
        if self.process is not None:
            return self.process.pid if self.process.poll() is None else None
        try:
            pid = int(self.pid_path.read_text())
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` is still a raftd that runs in our directory (ids are used again)."""
        try:
            if Path("/proc/self").exists():
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                # Empty for a moment in a process that is just being born; a dead one has no cwd.
                named = b"raftd" in words or not words
                return named and Path(f"/proc/{pid}/cwd").samefile(self.directory)
            words = subprocess.run(
                ["ps", "-p", str(pid), "-o", "command="], capture_output=True, check=False
            ).stdout
        except OSError:
            return False
        return b"raftd" in words

    def signal(self, number: int) -> bool:
        """Send a signal; False if no process is there."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody, nothing is flushed."""
        self.signal(signal.SIGKILL)
        self.wait_gone(10)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self, timeout: float = 15) -> int | None:
        """SIGTERM and wait. Returns the exit code if we are its parent. Raises NodeTrouble."""
        self.resume()
        self.signal(signal.SIGTERM)
        self.wait_gone(timeout)
        return self.process.returncode if self.process else None

    def wait_gone(self, timeout: float) -> None:
        wait_until(lambda: self.pid() is None, timeout, f"{self.id} to end", [self])
        self.pid_path.unlink(missing_ok=True)

    # -- looks -----------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether its admin port says that clients may come."""
        return self.http("/readyz")[0] == 200

    def http(self, path: str) -> tuple[int, str]:
        """(status, body) of the admin port; (0, "") when nobody answers."""
        url = f"http://127.0.0.1:{self.ports.admin}{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str) -> float | None:
        """A value of /metrics, None when it cannot be had."""
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return None

    def log_tail(self, lines: int = 15) -> str:
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(line[:LINE_SHOWN] for line in text.splitlines()[-lines:])


def whole_lines(log: Path) -> list[str]:
    """Of a log; a line that its node is writing at this moment is left out."""
    text = log.read_text(errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()


def _clean_environment() -> dict[str, str]:
    """Ours without RAFTD_*: what a node does is in its file, not in somebody's shell."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RAFTD_")}


def wait_until(
    condition: Callable[[], bool], timeout: float, what: str, nodes: Sequence[Node] = ()
) -> float:
    """Poll until true; returns the seconds taken. Raises NodeTrouble with the nodes' last lines."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            tails = "".join(f"\n--- {node.id}\n{node.log_tail()}" for node in nodes)
            raise NodeTrouble(f"waited {timeout:g} s for {what}{tails}")
        time.sleep(0.01)
    return time.monotonic() - start


def own_addresses(node: Node, other: Node) -> tuple[str, str]:
    """Where `node` reaches `other`, and where it sends clients to: straight there."""
    return f"127.0.0.1:{other.ports.peer}", other.client_address


def config_text(
    node: Node,
    peers: Sequence[Node],
    settings: Mapping[str, str],
    addresses: Callable[[Node, Node], tuple[str, str]] = own_addresses,
) -> str:
    """A node.yaml; `settings` are written as they are, and instead of what would stand there."""
    values = {
        "id": node.id,
        "data_dir": "data",
        "cluster_token": "local",
        "listen_peer": f"127.0.0.1:{node.ports.peer}",
        "listen_client": node.client_address,
        "listen_admin": f"127.0.0.1:{node.ports.admin}",
        **node_settings(),
        **settings,
    }
    lines = [f"{key}: {value}\n" for key, value in values.items()]
    for other in peers:
        peer, client = addresses(node, other)
        lines.append(f"  {other.id}: {{peer: {peer}, client: {client}}}\n")
    return "".join([*lines[: len(values)], "peers:\n", *lines[len(values) :]])


def page_settings(nodes: Sequence[Node]) -> dict[str, str]:
    """Every node serves the page that shows them all."""
    where = ",".join(f"{node.id}=127.0.0.1:{node.ports.admin}" for node in nodes)
    return {"page": "true", "page_nodes": where}


def write_configs(nodes: Sequence[Node], settings: Mapping[str, str]) -> None:
    """One node.yaml each, and the directory that it is in."""
    for node in nodes:
        node.directory.mkdir(parents=True, exist_ok=True)
        node.config_path.write_text(config_text(node, nodes, settings))


def endpoints(nodes: Iterable[Node]) -> list[str]:
    return [node.client_address for node in nodes]


def make_nodes(base: Path, ids: Sequence[str]) -> list[Node]:
    """Nodes on free ports, one directory each under `base`. Nothing is written yet."""
    ports = iter(free_ports(3 * len(ids)))
    return [Node(name, base / name, Ports(next(ports), next(ports), next(ports))) for name in ids]


def kill_all(nodes: Iterable[Node]) -> None:
    """The end of a demo or test: SIGKILL to whatever is left (also if stopped), and reap it."""
    for node in nodes:
        node.signal(signal.SIGKILL)
        if node.process is not None:
            node.process.wait(10)
        node.pid_path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()  # .run, when nothing else is in it
