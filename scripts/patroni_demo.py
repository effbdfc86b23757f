"""Patroni with two PostgreSQL servers on a raftd cluster: `python -m scripts.patroni_demo`.

Shows that Patroni elects, that `kill -9` of the raftd leader demotes nobody, and that the replica
is promoted when the primary dies. With --secured all of it over TLS, with users and roles on.
Needs PostgreSQL 15 (Debian: postgresql-15); Patroni is installed into a virtual environment below
.run/. As root, PostgreSQL runs as the user postgres.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.certificates import CLIENT, certificates, hand_out
from harness.nodes import ROOT, Node, config_text, kill_all, make_nodes, wait_until
from harness.ports import free_ports
from scripts.patroni_secured import SETTINGS, make_users

PACKAGES = ("patroni[etcd3]==4.1.5", "psycopg2-binary")
BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"
STEADY_SECONDS = 40.0
"""So long the primary is watched after the raftd leader was killed: two TTLs (20 s at least)."""
WAIT_SECONDS = 90.0

CONFIG = """\
scope: demo
name: {name}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
etcd3: {{hosts: [{members}]{secured}}}
bootstrap:
  dcs: {{ttl: 20, loop_wait: 2, retry_timeout: 3, maximum_lag_on_failover: 1048576}}
  initdb: [{{encoding: UTF8}}, data-checksums]
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {folder}/data
  bin_dir: {binaries}
  pgpass: {folder}/pgpass
  authentication:
    replication: {{username: replicator, password: demo}}
    superuser: {{username: postgres, password: demo}}
  parameters: {{unix_socket_directories: "{folder}", fsync: "off"}}
  pg_hba:
    - host replication replicator 127.0.0.1/32 md5
    - host all all 127.0.0.1/32 md5
    - local all all trust
"""


@dataclass
class Database:
    """One Patroni with its PostgreSQL."""

    name: str
    folder: Path
    rest: int
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self, patroni: Path) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [patroni, self.folder / "patroni.yml"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **_as_postgres(),
            )

    def kill(self) -> None:
        """Patroni and PostgreSQL die together, as with their machine."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        try:
            postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            return

    def state(self) -> dict[str, Any]:
        """What Patroni says of itself; empty when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/patroni", timeout=2) as page:
                found: dict[str, Any] = json.load(page)
        except urllib.error.HTTPError as error:
            with error:
                found = json.load(error)
        except (OSError, ValueError):
            return {}
        return found

    def is_primary(self) -> bool:
        state = self.state()
        return state.get("role") in ("primary", "master") and state.get("state") == "running"

    def is_replica(self) -> bool:
        return self.state().get("replication_state") == "streaming"

    def sql(self, statement: str) -> str:
        run = subprocess.run(
            [BINARIES / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-At"],
            input=statement,
            capture_output=True,
            text=True,
            env={**os.environ, "PGPASSWORD": "demo"},
            check=False,
        )
        return run.stdout.strip() or run.stderr.strip()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="leave the files of the run")
    arguments.add_argument("--secured", action="store_true", help="TLS, users and roles")
    options = arguments.parse_args()
    if not (BINARIES / "postgres").exists():
        print(f"patroni_demo: no PostgreSQL 15 in {BINARIES}: apt-get install postgresql-15")
        return 2
    patroni = _patroni()
    if why := _cannot_run(patroni):
        print(f"patroni_demo: {why}")
        return 2
    base = Path(tempfile.mkdtemp(prefix="raftd-patroni-"))
    base.chmod(0o755)
    tls = base / "tls" if options.secured else None
    nodes = _raftd(base, tls)
    databases = [_database(base, name, nodes, tls) for name in ("pg1", "pg2")]
    try:
        _show(patroni, nodes, databases, tls)
    finally:
        for database in databases:
            database.kill()
        kill_all(nodes)
        if not options.keep:
            shutil.rmtree(base, ignore_errors=True)
    return 0


def _show(
    patroni: Path, nodes: Sequence[Node], databases: Sequence[Database], tls: Path | None
) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    first, second = databases
    for node in nodes:
        node.start()
    wait_until(lambda: all(node.ready() for node in nodes), WAIT_SECONDS, "raftd", nodes)
    say("raftd: three members serve")
    if tls is not None:
        make_users(nodes[0].client_address, tls)
        say("users and roles are on")
    first.start(patroni)
    _wait(first.is_primary, first, "pg1 to be primary")
    say("pg1 was elected and is primary")
    second.start(patroni)
    _wait(second.is_replica, second, "pg2 to stream")
    say("pg2 streams from it")
    first.sql("create table notes (text text); insert into notes values ('before');")

    timeline = first.state().get("timeline")
    leader = _leader(nodes)
    leader.kill()
    say(f"killed {leader.id}, the leader of raftd; watching pg1 for {STEADY_SECONDS:g} s")
    end = time.monotonic() + STEADY_SECONDS
    while time.monotonic() < end:
        if not first.is_primary() or first.state().get("timeline") != timeline:
            raise SystemExit(f"pg1 was demoted:\n{_tail(first)}")
        time.sleep(0.25)
    first.sql("insert into notes values ('after raftd lost its leader');")
    say("pg1 was primary all the time, on the same timeline")
    leader.start()
    wait_until(leader.ready, WAIT_SECONDS, "raftd", nodes)

    first.kill()
    say("killed pg1, Patroni and PostgreSQL")
    _wait(second.is_primary, second, "pg2 to be promoted")
    say("pg2 was promoted")
    print(second.sql("insert into notes values ('after the primary died'); table notes;"))
    first.start(patroni)
    _wait(first.is_replica, first, "pg1 to stream")
    say("pg1 came back and streams from pg2")


def _raftd(base: Path, tls: Path | None) -> list[Node]:
    """tls: where the certificates are made, if any."""
    nodes = make_nodes(base / "raftd", ["n1", "n2", "n3"])
    settings = certificates(tls, nodes) if tls is not None else {}
    for node in nodes:
        node.directory.mkdir(parents=True)
        node.config_path.write_text(config_text(node, nodes, settings))
    if tls is not None:
        hand_out(tls, nodes)
    return nodes


def _database(base: Path, name: str, nodes: Sequence[Node], tls: Path | None) -> Database:
    folder = base / name
    folder.mkdir()
    files = [] if tls is None else [tls / "ca.crt", tls / f"{CLIENT}.crt", tls / f"{CLIENT}.key"]
    copies = [Path(shutil.copy(file, folder)) for file in files]
    rest, port = free_ports(2)
    text = CONFIG.format(
        name=name,
        rest=rest,
        port=port,
        folder=folder,
        binaries=BINARIES,
        members=", ".join(f'"{node.client_address}"' for node in nodes),
        secured=SETTINGS.format(folder=folder) if copies else "",
    )
    (folder / "patroni.yml").write_text(text)
    if os.geteuid() == 0:
        for path in (folder, *copies):
            shutil.chown(path, USER)
    return Database(name, folder, rest, port)


def _as_postgres() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    group = pwd.getpwnam(USER).pw_gid
    return {"user": USER, "group": group, "extra_groups": []}


def _patroni() -> Path:
    """Patroni's program, installed if it is not there."""
    folder = ROOT / ".run" / "patroni"
    program = folder / "bin" / "patroni"
    if not program.exists():
        print(f"installing {PACKAGES[0]} into {folder.relative_to(ROOT)} ...", flush=True)
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(pip, check=True)
    return program


def _cannot_run(program: Path) -> str:
    """Why; empty if it can: a Python below root's home is for root alone."""
    try:
        subprocess.run([program, "--version"], check=True, capture_output=True, **_as_postgres())
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{USER} cannot run {program} ({error}): use a Python that every user can reach"
    return ""


def _leader(nodes: Sequence[Node]) -> Node:
    found: list[Node] = []

    def look() -> bool:
        found[:] = [node for node in nodes if node.metric("raftd_is_leader") == 1]
        return bool(found)

    wait_until(look, WAIT_SECONDS, "a leader of raftd", nodes)
    return found[0]


def _wait(condition: Callable[[], bool], database: Database, what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {WAIT_SECONDS:g} s for {what}:\n{_tail(database)}")
        time.sleep(0.2)


def _tail(database: Database) -> str:
    return "\n".join((database.folder / "log").read_text(errors="replace").splitlines()[-25:])


if __name__ == "__main__":
    sys.exit(main())
