"""Start, signals, stop: the main thread.

A user's mistake ends in one line and exit code 2, what another start may find mended in 75; what
could cost data in one line (and the stack, if it is a bug) and exit code 70.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import queue
import sys
import time
from collections.abc import Callable, Iterable

import raftd.own_process  # noqa: F401 - before the first import of grpc
from raftd import __version__, embed, logs
from raftd.admin.page.routes import Page
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.config import Config, Loaded
from raftd.config.render import effective
from raftd.config.rules import page_nodes
from raftd.daemon.fatal import EXIT_FATAL, EndProcess
from raftd.daemon.resources import Collections, raise_limit, rare_collections
from raftd.daemon.signals import EXIT_OK, STOP_SIGNALS, Reload, Signals
from raftd.daemon.supervisor import Supervisor
from raftd.daemon.watchdog import Watchdog
from raftd.daemon.watching import Watching
from raftd.embed import RaftNode
from raftd.embed.security import Security, SecurityProblem, security_of
from raftd.machine.kv.retention import Keep
from raftd.machine.kv.store import KvStore
from raftd.machine.protocol import MachineLoadError, StateMachine, load_machine
from raftd.rpc.plumbing.later import load_all
from raftd.rpc.plumbing.ports import forbidden

EXIT_USAGE = 2
EXIT_REMOVED = 3
EXIT_LATER = 75
"""EX_TEMPFAIL of sysexits.h. The story without it: a machine came up at night before its name
server did, and systemd, which does not start a mistake in the configuration again, left it at that.
"""

COLLECT_SECONDS = 60.0
LOAD_SECONDS = 5.0
"""After its start a node loads what it has not needed yet (rpc/plumbing/later.py)."""

REMOVED = -1
"""Beside the signals: the node has learned that it is no member of its cluster any more."""

LOG = logging.getLogger("raftd.daemon")


class CannotStart(Exception):
    """One line for the operator. code: what the process exits with."""

    def __init__(self, line: str, code: int = EXIT_USAGE) -> None:
        super().__init__(line)
        self.code = code


def serve(loaded: Loaded, read_again: Callable[[], Loaded] | None = None) -> int:
    """Run a node until it is told to stop. Main thread. Returns the exit code.

    read_again: reads the configuration anew when SIGHUP comes; raises ConfigError.
    """
    config = loaded.config
    context = logs.Context(node=config.id)
    handler = logs.start(
        context, level=config.log_level, style=config.log_format, lines=config.log_queue_lines
    )
    vitals = Vitals(now=time.monotonic, beat=time.monotonic())
    fatal = EndProcess(vitals, handler)
    fatal.watch_everything()
    try:
        process = _Process(loaded, context, vitals, fatal, lambda: handler.dropped, handler.stop)
        process.run(Reload(loaded, read_again))
        code = EXIT_REMOVED if process.removed else EXIT_OK
    except CannotStart as error:
        LOG.error("cannot start: %s", error)
        code = error.code
    handler.stop()
    return code


class _Process:
    def __init__(
        self,
        loaded: Loaded,
        context: logs.Context,
        vitals: Vitals,
        fatal: EndProcess,
        dropped: Callable[[], int],
        flush: Callable[[], None],
    ) -> None:
        self._loaded = loaded
        self._config = loaded.config
        self._context = context
        self._vitals = vitals
        self._fatal = fatal
        self._dropped = dropped
        self._supervisor = Supervisor(os.environ)
        self._signals = Signals(lambda number: self._orders.put(number), flush)
        self.removed = False
        """Whether the node was removed from its cluster: why it ended."""
        self._orders: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reload: Callable[[], None]
        self._security: Security

    def run(self, reload: Callable[[], None]) -> None:
        """Raises CannotStart."""
        self._reload = reload
        self._announce()
        raise_limit()
        self._signals.catch()
        try:
            self._security = security_of(self._config)
        except SecurityProblem as problem:
            raise CannotStart(str(problem), EXIT_LATER if problem.later else EXIT_USAGE) from None
        machine = make_machine(self._config)
        admin = self._open_admin()
        try:
            self._run_node(machine)
        finally:
            if admin is not None:
                admin.stop()

    def _run_node(self, machine: StateMachine) -> None:
        watching = Watching(self._vitals, self._context, lambda: self._orders.put(REMOVED))
        node = RaftNode(
            self._config,
            machine,
            fatal=self._fatal,
            observer=watching,
            security=self._security,
        )
        try:
            node.start()
        except embed.CannotStart as error:
            code = EXIT_FATAL if error.of_data else EXIT_LATER if error.later else EXIT_USAGE
            raise CannotStart(str(error), code) from None
        self._signals.start_is_over()
        self._vitals.read_events = node.read_events
        if self._config.page:
            self._vitals.read_film = node.read_film
        rare_collections()
        watchdog = Watchdog(self._vitals, node.thread_id, self._config.loop_stall_warn)
        watchdog.start()
        self._supervisor.serving()
        self._wait_for_stop()
        self._supervisor.stopping()
        self._vitals.stopping = True
        node.stop()
        watchdog.stop()
        LOG.info("stopped")

    def _wait_for_stop(self) -> None:
        now = time.monotonic
        collections, due, loaded = Collections(), now() + LOAD_SECONDS, False
        beat = self._supervisor.beat_seconds or COLLECT_SECONDS
        while True:
            self._supervisor.alive(self._vitals.dead())
            try:
                order = self._orders.get(timeout=max(0.0, min(beat, due - now())))
                self.removed = self.removed or order == REMOVED
                if self.removed or order in STOP_SIGNALS:
                    return
                self._reload()
            except queue.Empty:
                if now() < due:
                    continue
                if not loaded:
                    load_all()
                    loaded, due = True, now() + COLLECT_SECONDS
                    continue
                due = now() + COLLECT_SECONDS
                collections.round()
            self._security.renew()

    # -- parts -----------------------------------------------------------------------------

    def _announce(self) -> None:
        # Here, for own_process has to come before grpc. Both are loaded by now: importlib.metadata
        # would bring a parser of mails to tell the same versions.
        import google.protobuf
        import grpc

        config = self._config
        LOG.info(
            "raftd %s starts: node %s of %s, data in %s",
            __version__,
            config.id,
            ", ".join(config.peers),
            config.data_dir,
            extra={
                "event": "start",
                "versions": {
                    "raftd": __version__,
                    "python": platform.python_version(),
                    "grpcio": grpc.__version__,
                    "protobuf": google.protobuf.__version__,
                    "platform": platform.platform(),
                },
                "config": effective(config),
            },
        )
        for line in self._loaded.warnings:
            LOG.warning("%s", line)

    def _open_admin(self) -> AdminServer | None:
        address = self._config.listen_admin
        if not address:
            return None
        host, _, port = address.rpartition(":")
        page = Page(self._config.id, page_nodes(self._config)) if self._config.page else None
        try:
            admin = AdminServer(
                host.strip("[]"), int(port), self._vitals, self._gauges, self._security.admin, page
            )
        except OSError as error:
            not_ours = forbidden(error)
            why = not_ours or error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                # Its default is one port for everybody, and `peers` has no other one for it.
                why = f"{os.strerror(error.errno)}; each node on this machine needs a listen_admin"
                why += ' of its own ("": none)'
            at = (
                f"{address}: at {error.filename}"
                if error.filename not in (None, address)
                else address
            )
            text = f"listen_admin: cannot listen on {at}: {why}"
            raise CannotStart(text, EXIT_USAGE if not_ours else EXIT_LATER) from None
        admin.start()
        return admin

    def _gauges(self) -> Iterable[tuple[str, float]]:
        yield "log_lines_dropped", self._dropped()
        if self._vitals.disk_free_bytes is not None:
            yield "disk_free_bytes", self._vitals.disk_free_bytes
        for port, days in self._security.days_left(time.time_ns() / 1e9).items():
            yield f"{port}_certificate_days_left", days


def make_machine(config: Config) -> StateMachine:
    """Imports user code. Raises CannotStart."""
    if config.machine == "kv":
        keep = Keep(config.history_bytes, config.history_revisions, config.history_age)
        return KvStore(keep, quota_bytes=config.quota_bytes)
    if config.machine_path:
        sys.path.insert(0, config.machine_path)
    try:
        return load_machine(config.machine)
    except MachineLoadError as error:
        raise CannotStart(str(error)) from None
