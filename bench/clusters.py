"""The three systems as processes on loopback: start, ask, stop. Files under .run/bench."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from harness import cluster as nodes
from harness.certificates import client_files
from harness.nodes import ROOT, Node, endpoints, wait_until
from harness.ports import free_ports
from raftd.tls.contexts import client_context

BASE = ROOT / ".run" / "bench"
START_SECONDS = 60.0


class BenchTrouble(Exception):
    """Something the bench needs did not work; one line."""


class Cluster(Protocol):
    """What the measurements need of either side."""

    name: str

    def endpoints(self) -> str: ...
    def pids(self) -> list[int]: ...
    def leader(self) -> int:
        """Place of the leader in `pids`."""
        ...

    def term(self) -> int: ...
    def syncs(self) -> list[int]:
        """Log syncs of each node since its start, as its own metrics say."""
        ...

    def data(self) -> list[Path]: ...
    def stop(self) -> None: ...


class Raftd:
    """raftd with default settings, but for what `settings` says."""

    name = "raftd"

    def __init__(
        self, base: Path, count: int = 3, settings: Mapping[str, str] | None = None
    ) -> None:
        shutil.rmtree(base, ignore_errors=True)
        self.base = base
        self._nodes = nodes.Cluster(base, count, settings)
        self.nodes: list[Node] = self._nodes.nodes

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings that depend on the nodes' ports. Before start."""
        self._nodes.configure({"cluster_token": "test", **settings})

    def start(self) -> None:
        self._nodes.start()

    def wait_ready(self) -> float:
        """Seconds until all serve. Raises NodeTrouble."""
        return self._nodes.wait_ready(timeout=START_SECONDS)

    def endpoints(self) -> str:
        return ",".join(endpoints(self.nodes))

    def pids(self) -> list[int]:
        return [node.pid() or 0 for node in self.nodes]

    def leader(self) -> int:
        return self.nodes.index(self._nodes.leader(START_SECONDS))

    def term(self) -> int:
        return self._nodes.term()

    def syncs(self) -> list[int]:
        return [int(count) for count in self.metrics("raftd_log_syncs_total")]

    def metrics(self, metric: str) -> list[float]:
        """Of every node; 0 where it cannot be had."""
        return [node.metric(metric) or 0 for node in self.nodes]

    def data(self) -> list[Path]:
        return [node.data_path for node in self.nodes]

    def stop(self) -> None:
        self._nodes.close()
        shutil.rmtree(self.base, ignore_errors=True)


class Etcd:
    """etcd with its defaults (it syncs every write); a larger quota, so that no run hits it."""

    name = "etcd"

    def __init__(self, base: Path, count: int = 3, tls: Path | None = None) -> None:
        """tls: where harness.certificates has made those of n1, n2, ... and a client's."""
        self.base = base
        self._tls = tls
        self._scheme = "http" if tls is None else "https"
        self._context = None if tls is None else client_context(client_files(tls))
        if self._context is not None:
            self._context.set_alpn_protocols(["http/1.1"])
        ports = free_ports(2 * count)
        self._client, self._peer = ports[:count], ports[count:]
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)
        for at in range(len(self._client)):
            self._processes.append(self._spawn(at))
        self.wait_ready()

    def _spawn(self, at: int) -> subprocess.Popen[bytes]:
        scheme = self._scheme
        client, peer = (f"{scheme}://127.0.0.1:{ports[at]}" for ports in (self._client, self._peer))
        members = ",".join(f"n{n}={scheme}://127.0.0.1:{port}" for n, port in enumerate(self._peer))
        command = ["etcd", "--name", f"n{at}", "--data-dir", str(self.base / f"n{at}")]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", members, "--initial-cluster-state", "new"]
        command += ["--quota-backend-bytes", "8000000000"]
        command += self._secured(at)
        with (self.base / f"n{at}.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _secured(self, at: int) -> list[str]:
        if self._tls is None:
            return []
        words = []
        for port in ("", "peer-"):
            words += [f"--{port}cert-file", str(self._tls / f"n{at + 1}.crt")]
            words += [f"--{port}key-file", str(self._tls / f"n{at + 1}.key")]
            words += [f"--{port}trusted-ca-file", str(self._tls / "ca.crt")]
        return [*words, "--client-cert-auth", "--peer-client-cert-auth"]

    def wait_ready(self) -> float:
        began = time.monotonic()
        while not all(self._healthy(port) for port in self._client):
            if any(process.poll() is not None for process in self._processes):
                raise BenchTrouble(f"etcd ended at once: see {_short(self.base)}/n*.log")
            if time.monotonic() - began > START_SECONDS:
                raise BenchTrouble(f"no healthy etcd: see {_short(self.base)}/n*.log")
            time.sleep(0.05)
        return time.monotonic() - began

    def _healthy(self, port: int) -> bool:
        try:
            with self._open(port, "/health", 2) as answer:
                return b"true" in answer.read()
        except OSError:
            return False

    def _open(self, port: int, path: str, seconds: float, data: bytes | None = None) -> Any:
        """Raises OSError."""
        url = f"{self._scheme}://127.0.0.1:{port}{path}"
        return urllib.request.urlopen(url, data=data, timeout=seconds, context=self._context)

    def kill(self, at: int) -> None:
        self._processes[at].send_signal(signal.SIGKILL)
        self._processes[at].wait(10)

    def restart(self, at: int) -> None:
        self._processes[at] = self._spawn(at)

    def endpoints(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self._client)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def leader(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for at, port in enumerate(self._client):
                status = self._status(port)
                if status and status.get("leader") == status["header"]["member_id"]:
                    return at
            time.sleep(0.05)
        raise BenchTrouble("etcd has no leader")

    def term(self) -> int:
        return max(int((self._status(port) or {}).get("raftTerm", 0)) for port in self._client)

    def revision(self) -> int:
        """The highest that a node knows: one more for each put."""
        said = [self._status(port) for port in self._client]
        return max((int(one["header"].get("revision", 0)) for one in said if one), default=0)

    def _status(self, port: int) -> dict[str, Any] | None:
        try:
            with self._open(port, "/v3/maintenance/status", 2, b"{}") as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return None
        return found

    def syncs(self) -> list[int]:
        counts = []
        for port in self._client:
            with self._open(port, "/metrics", 5) as answer:
                text = answer.read().decode()
            name = "etcd_disk_wal_fsync_duration_seconds_count "
            lines = [line for line in text.splitlines() if line.startswith(name)]
            counts.append(int(float(lines[0].split()[1])))
        return counts

    def data(self) -> list[Path]:
        return [self.base / f"n{at}" for at in range(len(self._client))]

    def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
        self._processes.clear()
        shutil.rmtree(self.base, ignore_errors=True)


def raftd_load(cluster: Cluster, timeout: float = 300, **options: object) -> dict[str, Any]:
    """Run bench.load in a process of its own. Raises BenchTrouble."""
    words = [sys.executable, "-m", "bench.load", "--endpoints", cluster.endpoints()]
    words += ["--pids", ",".join(map(str, cluster.pids()))]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, str(value)]
    return _json_of(words, timeout)


def etcd_load(
    binary: Path, cluster: Cluster, timeout: float = 300, **options: object
) -> dict[str, Any]:
    """Run the Go generator. Raises BenchTrouble."""
    words = [str(binary), "-endpoints", cluster.endpoints()]
    words += ["-pids", ",".join(map(str, cluster.pids()))]
    for name, value in options.items():
        words += [f"-{name}", str(value)]
    return _json_of(words, timeout)


def _json_of(words: Sequence[str], timeout: float) -> dict[str, Any]:
    try:
        run = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchTrouble(f"no end after {timeout:g} s: {' '.join(words[1:8])} ...") from None
    if run.returncode:
        raise BenchTrouble(f"{' '.join(words[1:4])} ...: {run.stderr.strip()[-600:]}")
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Poll; seconds taken. Raises NodeTrouble."""
    return wait_until(condition, seconds, what)


def _short(path: Path) -> str:
    return os.path.relpath(path, ROOT)
