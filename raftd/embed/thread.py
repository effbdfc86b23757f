"""The network thread of a real node: one loop with the core, both ports, all connections to peers.

It reads no signals, sets up no logging and ends no process: that is its host's business.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import Protocol

from raftd.beat import until_beat
from raftd.config import Config
from raftd.core.effects import Event
from raftd.core.types import RaftState, Recovered, Role
from raftd.embed.clock import MonotonicClock
from raftd.embed.failing import Failing
from raftd.embed.opening import CannotStart
from raftd.embed.security import Security
from raftd.embed.serving import link_settings, server_settings
from raftd.machine.protocol import TellsTroubles
from raftd.machine.sessions import Sessions
from raftd.node.health import Ailment, Signs
from raftd.node.measures import Measures
from raftd.node.node import Node
from raftd.node.outcomes import Applied, Outcome, Refused, Unknown
from raftd.node.ports import FatalPort
from raftd.rpc.clients.replaying import start_of
from raftd.rpc.directory import Directory, PeerAddress
from raftd.rpc.etcd.hub import WatchedStore
from raftd.rpc.peers.peers import Peers
from raftd.rpc.plumbing.ports import BindError
from raftd.rpc.server import PortFigures, Servers, about
from raftd.storage.directory import DataDirectory

LOG = logging.getLogger("raftd.node")

NOTHING = Recovered()

LOOK_SECONDS = 0.25
"""How often the observer is shown what the node looks like."""

NEWS_SECONDS = 0.05
"""The same after an event: what has just happened is seen soon, and many events are one look."""

CLOSE_SECONDS = 15.0
"""For the workers to end what they are doing, beside `stop_grace`."""


@dataclass(frozen=True, slots=True)
class Look:
    """A node at one moment. measures is live: any thread may read it at any time."""

    state: RaftState
    signs: Signs
    measures: Measures
    log_syncs: int
    log_bytes_written: int
    ports: PortFigures


STOPPED = "the node has stopped"


class Observer(Protocol):
    """Who watches a node. Both: network thread; they must be quick, and must not raise."""

    def event(self, event: Event) -> None:
        """Something happened. Every event, in order."""

    def look(self, look: Look) -> None:
        """What the node looks like: every LOOK_SECONDS from its start on, sooner after events."""


class NodeThread:
    """Thread raft-net. start, stop: one other thread; the rest: any thread."""

    def __init__(
        self,
        config: Config,
        directory: DataDirectory,
        recovered: Recovered,
        machine: Sessions,
        fatal: FatalPort,
        observer: Observer,
        security: Security,
        ended: Callable[[str], None],
    ) -> None:
        """ended: called with the reason when the thread does nothing any more."""
        self._ended = ended
        self._config = config
        self._security = security
        self._directory = directory
        self._recovered = recovered
        self._machine = machine
        self._observer = observer
        self._clock = MonotonicClock()
        self._loop = _new_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._refusal: BindError | None = None
        self._fatal = Failing(fatal, self._stop_soon)
        self._next_look: asyncio.Event | None = None
        self._hastened = self._log_in_use = False
        self._thread = threading.Thread(target=self._run, name="raft-net", daemon=True)
        self.node: Node
        """From `start` on."""
        self.ports = (0, 0)
        """(peers', clients'), from `start` on."""

    @property
    def thread_id(self) -> int:
        return self._thread.ident or 0

    @property
    def failure(self) -> str:
        """Why the node has failed; empty while it has not."""
        return self._fatal.what

    def start(self) -> None:
        """Returns when both ports are open. Raises CannotStart."""
        self._thread.start()
        self._started.wait()
        if self._refusal is not None:
            self._thread.join()
            raise CannotStart(str(self._refusal), later=not self._refusal.forbidden)
        if self.failure:  # and its host, who was told, goes on
            self._thread.join()
            raise CannotStart(self.failure, of_data=True)

    def stop(self) -> bool:
        """Hand over, drain, close. Takes `stop_grace` and a little more at the longest.

        False: a thread of the node's would not end and may be writing; leave its log as it is.
        Harmless again.
        """
        if self._thread.ident is None:
            self._loop.close()
            return True
        self._stop_soon()
        patience = self._config.election_timeout_min + self._config.stop_grace + CLOSE_SECONDS
        self._thread.join(patience)
        if self._thread.is_alive():
            self._fatal.fatal(f"the network thread did not stop within {patience:g} s", None)
            return False
        return not self._log_in_use

    def call(self, what: Callable[[], None]) -> bool:
        """Call this on the network thread, soon. False: the thread has ended, or will not."""
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed
            return False
        return True

    # -- raft-net --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._main())
        except BaseException as error:  # noqa: BLE001 - a thread's top: nothing may be swallowed
            self._fatal.fatal("thread raft-net died", error)
        finally:
            self._started.set()
            self._loop.close()
            self._ended(self.failure or STOPPED)

    async def _main(self) -> None:
        self._loop.set_exception_handler(self._fatal.loop_error)
        node, peers, servers = self._build()
        self._recovered = NOTHING  # the core has its entries, and drops them as it compacts
        self.node = node
        node.start(peers)
        try:
            await servers.start()
        except BindError as error:
            self._refusal = error
            await self._close(servers, 0)
            return
        self.ports = servers.peer_port, servers.client_port
        looks = self._loop.create_task(self._looks(servers))
        looks.add_done_callback(self._looks_ended)
        LOG.info(
            "serving: peers on port %d, clients on port %d", *self.ports, extra={"event": "serving"}
        )
        self._started.set()
        await self._stop.wait()
        servers.quiesce()
        if not self.failure:
            await self._hand_over()
        await self._close(servers, 0 if self.failure else self._config.stop_grace)
        looks.cancel()

    async def _close(self, servers: Servers, grace_seconds: float) -> None:
        await servers.stop(grace_seconds)
        if not self.node.stop(self.failure or "stopping"):
            # The log may be in use by that thread: nobody else may close it.
            self._log_in_use = True
            self._fatal.fatal("a worker thread did not end in time", None)

    def _stop_soon(self) -> None:
        self.call(self._stop.set)

    def _build(self) -> tuple[Node, Peers, Servers]:
        config, fatal, now = self._config, self._fatal, self._clock.now
        node = Node(
            identity=self._directory.identity,
            core_settings=config.core(),
            node_settings=config.node(),
            configuration=self._directory.first,
            recovered=self._recovered,
            log=self._directory.wal,
            snapshots=self._directory.snapshots,
            machine=self._machine,
            clock=self._clock,
            rng=SystemRandom(),
            fatal=fatal,
            loop=self._loop,
            observer=self._event,
        )
        where = Directory({name: PeerAddress(*at) for name, at in config.peers.items()})
        if config.advertise_gateway:
            where.advertise(config.id, PeerAddress(gateway_address=config.advertise_gateway))
        advertised = about(*config.peers[config.id], config.advertise_gateway)
        link = link_settings(config, self._security.peers)
        peers = Peers(where, advertised, link, fatal, now)
        settings = server_settings(config, self._security, link, start_of(self._recovered))
        machine = self._machine.machine
        if isinstance(machine, TellsTroubles):
            node.add_ailments(lambda: map(Ailment, machine.troubles()))
        store = machine if isinstance(machine, WatchedStore) else None
        node.add_ailments(peers.ailments)
        node.add_ailments(self._security.ailments)
        servers = Servers(
            node, peers, where, advertised, settings, fatal, now, store, self._clock.epoch_ms
        )
        return node, peers, servers

    def _event(self, event: Event) -> None:
        self._observer.event(event)
        if self._next_look is not None and not self._hastened:
            self._hastened = True
            self._loop.call_later(NEWS_SECONDS, self._next_look.set)

    async def _looks(self, servers: Servers) -> None:
        node, loop = self.node, self._loop
        while True:
            log = self._directory.wal.stats
            look = Look(
                node.state(),
                node.signs(),
                node.measures,
                log_syncs=log.syncs,
                log_bytes_written=log.bytes,
                ports=servers.figures,
            )
            self._observer.look(look)
            self._hastened, self._next_look = False, asyncio.Event()
            pause = until_beat(loop.time(), LOOK_SECONDS)
            timer = loop.call_later(pause, self._next_look.set)
            await self._next_look.wait()
            timer.cancel()

    def _looks_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal.fatal("network thread: looking at the node failed", error)

    async def _hand_over(self) -> None:
        """A leader that stops makes another one first, so that nobody waits for a timeout."""
        node = self.node
        state = node.state()
        if state.role is not Role.LEADER or not state.configuration.voters_besides(state.node):
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


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
