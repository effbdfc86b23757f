"""The network thread: one loop with the core, both ports and all connections to the peers."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from random import SystemRandom

import raftd.own_process  # noqa: F401 - before the first import of grpc
from raftd import logs
from raftd.config import Config, listen_address
from raftd.core.effects import Event
from raftd.core.types import Recovered, Role
from raftd.daemon.descriptors import connections
from raftd.daemon.fatal import EndProcess
from raftd.daemon.security import Security
from raftd.machine.sessions import Sessions
from raftd.metrics import BEAT_SECONDS, Vitals
from raftd.node.node import Node
from raftd.node.outcomes import Applied, Outcome, Refused, Unknown
from raftd.node.repeats import Repeats
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.peers.peers import Peers
from raftd.rpc.peers.security import NOTHING_ASKED, PeerSecurity
from raftd.rpc.peers.transport import LinkSettings
from raftd.rpc.plumbing.ports import BindError
from raftd.rpc.server import Servers, ServerSettings, about
from raftd.storage.directory import DataDirectory

LOG = logging.getLogger("raftd.node")

QUIET_EVENTS = frozenset({"recorded"})
LOUD_EVENTS = frozenset(
    {
        "refused", "commit_stalled", "not_admitted", "truncated", "peer_lost", "no_space",
        "snapshots_fail", "snapshot_failed", "snapshot_refused", "snapshot_rotten",
        "machine_stalled", "impossible_message",
    }
)  # fmt: skip


CLOSE_SECONDS = 15.0
"""For the workers to end what they are doing, beside `stop_grace`."""


class MonotonicClock:
    """The daemon's Clock. Any thread."""

    def now(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return time.time_ns() // 1_000_000


class CannotListen(Exception):
    """A port could not be had. One line."""


class NetworkThread:
    """Thread raft-net. start and stop: main thread."""

    def __init__(
        self,
        config: Config,
        directory: DataDirectory,
        recovered: Recovered,
        machine: Sessions,
        context: logs.Context,
        vitals: Vitals,
        fatal: EndProcess,
        security: Security,
    ) -> None:
        self._config = config
        self._security = security
        self._directory = directory
        self._recovered = recovered
        self._machine = machine
        self._context = context
        self._vitals = vitals
        self._fatal = fatal
        self._loop = _new_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BindError | None = None
        self._repeats = Repeats()
        self._thread = threading.Thread(target=self._run, name="raft-net", daemon=True)

    @property
    def thread_id(self) -> int:
        return self._thread.ident or 0

    def start(self) -> None:
        """Returns when both ports are open. Raises CannotListen."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise CannotListen(str(self._failure))

    def stop(self) -> None:
        """Hand over, drain, close. Takes `stop_grace` and a little more at the longest."""
        self._loop.call_soon_threadsafe(self._stop.set)
        patience = self._config.election_timeout_min + self._config.stop_grace + CLOSE_SECONDS
        self._thread.join(patience)
        if self._thread.is_alive():
            self._fatal.fatal(f"the network thread did not stop within {patience:g} s", None)

    # -- raft-net --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._main())
        except BaseException as error:  # noqa: BLE001 - a thread's top: nothing may be swallowed
            self._fatal.fatal("thread raft-net died", error)

    async def _main(self) -> None:
        self._loop.set_exception_handler(self._fatal.loop_error)
        node, peers, servers = self._build()
        self._context.term, self._context.role = node.state().term, Role.FOLLOWER.value
        node.start(peers)
        try:
            await servers.start()
        except BindError as error:
            self._failure = error
            await self._close(node, servers, 0)
            self._started.set()
            return
        beat = self._loop.create_task(self._beat(node, servers))
        beat.add_done_callback(self._beat_ended)
        LOG.info(
            "serving: peers on port %d, clients on port %d",
            servers.peer_port,
            servers.client_port,
            extra={"event": "serving"},
        )
        self._started.set()
        await self._stop.wait()
        servers.quiesce()
        await self._hand_over(node)
        await self._close(node, servers, self._config.stop_grace)
        beat.cancel()

    async def _close(self, node: Node, servers: Servers, grace: float) -> None:
        await servers.stop(grace)
        if not node.stop():
            # The log may be in use by that thread: nobody else may close it.
            self._fatal.fatal("a worker thread did not end in time", None)

    def _build(self) -> tuple[Node, Peers, Servers]:
        config, fatal, now = self._config, self._fatal, self._vitals.now
        node = Node(
            identity=self._directory.identity,
            core_settings=config.core(),
            node_settings=config.node(),
            configuration=self._directory.first,
            recovered=self._recovered,
            log=self._directory.wal,
            snapshots=self._directory.snapshots,
            machine=self._machine,
            clock=MonotonicClock(),
            rng=SystemRandom(),
            fatal=fatal,
            loop=self._loop,
            observer=self._observe,
        )
        where = Directory({name: PeerAddress(*at) for name, at in config.peers.items()})
        advertised = about(*config.peers[config.id])
        link = link_settings(config, self._security.peers)
        peers = Peers(where, advertised, link, fatal, now)
        most = connections(len(config.peers) - 1)
        settings = ServerSettings(
            listen_address(config, "listen_peer"),
            listen_address(config, "listen_client"),
            peer_connections_max=most.peers,
            client_connections_max=most.clients,
            link=link,
            client_tls=self._security.client,
        )
        servers = Servers(node, peers, where, advertised, settings, fatal, now)
        return node, peers, servers

    async def _beat(self, node: Node, servers: Servers) -> None:
        """Shows the other threads that this one lives, and what the node looks like."""
        vitals = self._vitals
        vitals.measures = node.measures
        while True:
            vitals.beat = vitals.now()
            signs = node.signs()
            vitals.proposals = signs.proposals_pending, signs.proposals_failed
            vitals.ailments = signs.unready
            vitals.gauges["machine_busy_seconds"] = signs.machine_busy_seconds
            vitals.gauges["disk_trouble"] = float(signs.disk_trouble)
            vitals.disk_free_bytes = signs.disk_free_bytes
            state = vitals.state = node.state()
            self._context.term, self._context.role = state.term, state.role.value
            log = self._directory.wal.stats
            vitals.counters.update(
                log_syncs=log.syncs,
                log_bytes_written=log.bytes,
                peer_messages_refused=signs.peer_messages_refused,
                connections_cut=servers.connections_cut,
            )
            await asyncio.sleep(BEAT_SECONDS)

    def _beat_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal.fatal("network thread: the heartbeat task died", error)

    def _observe(self, event: Event) -> None:
        """Every event of the core is counted; one that is news becomes a log line."""
        self._context.term, self._context.role = event.term, event.role.value
        self._vitals.count(f"event_{event.kind}")
        untold = self._repeats.news(self._vitals.now(), event)
        if untold is not None:
            log_event(event, untold)

    async def _hand_over(self, node: Node) -> None:
        """A leader that stops makes another one first, so that nobody waits for a timeout."""
        if node.state().role is not Role.LEADER or len(self._config.peers) == 1:
            return
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def done(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        node.transfer(None, done)
        # Two messages and two syncs; after that long the followers would campaign by themselves.
        patience = self._config.election_timeout_min
        try:
            outcome = await asyncio.wait_for(ended, patience)
        except TimeoutError:
            LOG.warning("nobody took over within %g s; stopping anyway", patience)
            return
        if isinstance(outcome, Applied):
            LOG.info("handed over to %s", outcome.results.decode(), extra={"event": "hand_over"})
        elif isinstance(outcome, Refused | Unknown):
            LOG.warning("nobody took over: %s; stopping anyway", outcome.message)


def log_event(event: Event, untold: int = 0) -> None:
    """untold: how many events of its like were not worth a line since the last one."""
    level = logging.INFO
    if event.kind in QUIET_EVENTS:
        level = logging.DEBUG
    elif event.kind in LOUD_EVENTS:
        level = logging.WARNING
    fields = {"event": event.kind, "leader": event.leader or "-"}
    if event.peer is not None:
        fields["peer"] = event.peer
    more = f" ({untold} more like it since the last such line)" if untold else ""
    LOG.log(level, "%s: %s%s", event.kind.replace("_", " "), event.detail, more, extra=fields)


def link_settings(config: Config, security: PeerSecurity = NOTHING_ASKED) -> LinkSettings:
    """Deadlines between peers follow the election timeout: what comes later is useless."""
    return LinkSettings(
        connect_timeout=config.election_timeout_min,
        control_timeout=config.election_timeout_min / 2,
        read_index_timeout=config.election_timeout_min,
        append_age_max=config.append_age_max or 2 * config.election_timeout_max,
        security=security,
    )


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
