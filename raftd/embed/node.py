"""RaftNode: a node with your state machine in your own program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from raftd.config import Config
from raftd.core.effects import Event
from raftd.core.types import RaftState
from raftd.embed.arguments import check_bytes, check_config, check_machine
from raftd.embed.calls import Call, Calls, answered, applied, handed_over, snapshot_index
from raftd.embed.failing import SayIt
from raftd.embed.opening import open_data, read_security, refusal
from raftd.embed.security import Security
from raftd.embed.thread import LOOK_SECONDS, STOPPED, Look, NodeThread, Observer
from raftd.machine.protocol import StateMachine
from raftd.machine.sessions import Sessions
from raftd.node.events import EventReader, Numbered
from raftd.node.film import FilmReader
from raftd.node.node import Node
from raftd.node.outcomes import Done, Outcome
from raftd.node.ports import FatalPort
from raftd.storage.directory import DataDirectory
from raftd.storage.errors import StorageError
from raftd.wire.batch import check_batch, encode_batch
from raftd.wire.errors import WireError
from raftd.wire.principal import OWN

if TYPE_CHECKING:
    from raftd.embed.joining import Joining

Answer = TypeVar("Answer")

NOT_STARTED = "the node has not been started"


class _Nobody:
    """The Observer of a host that gave none."""

    def event(self, event: Event) -> None: ...

    def look(self, look: Look) -> None: ...


class RaftNode:
    """start, stop: once each, from one thread that is not the node's. The rest: any thread."""

    def __init__(
        self,
        config: Config,
        machine: StateMachine,
        *,
        fatal: FatalPort | None = None,
        observer: Observer | None = None,
        security: Security | None = None,
    ) -> None:
        """config: its `machine` and `listen_admin` are the daemon's and do not count here.

        fatal: told when the node cannot go on. It has stopped taking part by then; make a new one,
        or end the process. Without one a line goes to the logger raftd.node. observer: sees every
        event, on the node's thread. security: None: what `config` says; its files are read at the
        start. Raises ConfigError, one line a problem; TypeError, if `machine` is none.
        """
        check_config(config)
        check_machine(machine)
        self._config = config
        self._machine = machine
        self._host: FatalPort = fatal or SayIt()
        self._observer: Observer = observer or _Nobody()
        self._security = security
        self._directory: DataDirectory | None = None
        self._thread: NodeThread | None = None
        self._begun: NodeThread | None = None
        """Also one that could not start: by then the machine may have been used, and calls end."""
        self._calls = Calls()
        self._joining: Joining | None = None

    # -- life --

    def start(self) -> None:
        """Open the data directory, recover, open both ports, and take part.

        Raises CannotStart: then nothing runs, and the directory is not locked.
        """
        if self._begun:
            raise RuntimeError("a RaftNode is started once: make another one, and a new machine")
        security = self._security = self._security or read_security(self._config)
        directory = open_data(self._config)
        try:
            self._run_on(directory, security)
        except BaseException:  # also what a signal's handler of the host's raises meanwhile
            self._leave(directory)
            raise

    def _run_on(self, directory: DataDirectory, security: Security) -> None:
        """Raises CannotStart."""
        try:
            recovered = directory.recover()
        except (StorageError, OSError) as error:
            raise refusal(error) from None
        thread = self._begun = NodeThread(
            self._config,
            directory,
            recovered,
            Sessions(self._machine),
            self._host,
            self._observer,
            security,
            self._calls.end,
        )
        thread.start()
        self._directory, self._thread = directory, thread
        if thread.node.film is not None:
            thread.node.film.show_changes(getattr(self._machine, "last_changes", None))
        if self._config.join and not self._is_in():
            # It brings the client library, which all other nodes start without.
            from raftd.embed.joining import Joining

            self._joining = Joining(self._config, self._is_in)
            self._joining.start()

    def _is_in(self) -> bool:
        """For good: a first voter, or added by an entry that is committed.

        The story with any entry in the log: the leader that had sent it was lost, the next one did
        not have it, and nobody was asked any more to take this node in.
        """
        assert self._directory is not None
        return bool(self._directory.first.voters) or self.state().admitted

    def stop(self) -> None:
        """Hand leadership over, answer everybody, close. Harmless again, and after a failure.

        Takes `stop_grace` at most, and what the machine and the disk are at. If the disk takes no
        write for seconds, `fatal` is told and the directory stays locked as long as this process
        lives. The story with it closed here: the mark that the last batch is synced was written
        beside the thread that was syncing it, and this thread then waited for that disk, too.
        """
        if self._directory is not None:
            self._leave(self._directory)

    def _leave(self, directory: DataDirectory) -> None:
        if self._joining is not None:
            self._joining.stop()
        if self._begun is None or self._begun.stop():
            directory.close()

    def renew_certificates(self) -> None:
        """Take certificate files that have changed. Any thread; call it once a minute or so.

        Never raises: what is wrong with a file is logged, and nothing changes.
        """
        if self._security is not None:
            self._security.renew()

    def __enter__(self) -> RaftNode:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def failure(self) -> str:
        """Why the node cannot go on; empty while it can."""
        return self._thread.failure if self._thread is not None else ""

    @property
    def ports(self) -> tuple[int, int]:
        """(the peers' port, the clients' port), from `start` on."""
        return self._running().ports

    @property
    def thread_id(self) -> int:
        """Of the node's network thread, for whoever watches over threads."""
        return self._running().thread_id

    # -- calls --

    def submit(self, command: bytes) -> Call[bytes]:
        """Have a command applied on all nodes; the answer is that of the machine here.

        It is sent once and never again, so nothing is done twice. The call raises NotLeader on any
        node but the leader, NotDone, OutcomeUnknown, MachineRefused or AnswerTooLong. Raises
        here and now: ValueError if the command is larger than any node takes; TypeError.

        raftd.client does more, also from this program: it finds the leader, and tries again without
        doing anything twice.
        """
        check_bytes("command", command)
        payload = encode_batch(b"", 0, [(0, command)])
        try:
            check_batch(payload)
        except WireError as error:
            raise ValueError(str(error)) from None
        return self._ask(lambda node, done: node.submit(payload, done, OWN), applied, changes=True)

    def query(self, request: bytes, *, stale: bool = False) -> Call[bytes]:
        """Ask the machine. Linearizable, on any node that is in touch with a leader's majority.

        stale: from this node's own state, without asking anybody. The call raises NotDone or
        MachineRefused. Raises TypeError here and now.
        """
        check_bytes("request", request)
        return self._ask(lambda node, done: node.query([request], stale, done, OWN), answered)

    def transfer(self, target: str | None = None) -> Call[str]:
        """Hand leadership over, to `target` or to whoever is furthest; the new leader's id."""
        return self._ask(lambda node, done: node.transfer(target, done), handed_over)

    def snapshot(self) -> Call[int]:
        """Take a snapshot now, if anything is new; the index of the newest."""
        return self._ask(lambda node, done: node.snapshot_now(done), snapshot_index)

    def _ask(
        self,
        ask: Callable[[Node, Done], None],
        read: Callable[[Outcome], Answer],
        *,
        changes: bool = False,
    ) -> Call[Answer]:
        thread, calls = self._thread, self._calls
        if thread is None:
            raise RuntimeError(NOT_STARTED)
        call: Call[Answer] = calls.make(thread.thread_id, changes)

        def done(outcome: Outcome) -> None:
            calls.settle(call, lambda: read(outcome))

        if not call.done() and not thread.call(lambda: ask(thread.node, done)):
            calls.end(STOPPED)
        return call

    # -- looking in --

    def state(self) -> RaftState:
        """Role, term, leader, indexes, peers."""
        return self._running().node.state()

    def wait_for_leader(self, timeout: float) -> str:
        """The leader's id, as soon as this node knows one. Not on the node's own thread.

        Raises TimeoutError after `timeout` seconds, and at once if the node has failed.
        """
        deadline = time.monotonic() + timeout
        with self.events() as events:
            while not (leader := self.state().leader):
                left = deadline - time.monotonic()
                if left <= 0 or self.failure:
                    why = self.failure or "; ".join(self.problems())
                    raise TimeoutError(f"no leader is known after {timeout:g} s: {why}")
                events.next(min(left, LOOK_SECONDS))
        return leader

    def problems(self) -> Sequence[str]:
        """Why this node is not healthy, one line each, worst first; empty when it is."""
        return self._running().node.problems()

    def events(self, *, from_start: bool = False) -> Events:
        """What happens to the node, from now on; from_start: from the oldest that is kept."""
        return Events(self._running().node, from_start)

    def read_events(self, after: int | None, wake: Callable[[], None]) -> EventReader:
        """For an event loop of your own: `wake` says that `take` may have something.

        As raftd.node.events.EventRing.read; `wake` runs on the node's thread and must not wait.
        """
        return self._running().node.read_events(after, wake)

    def read_film(self, after: int | None, wake: Callable[[], None]) -> FilmReader:
        """As read_events, of the node's film (docs/page.md). Only with the setting `page`."""
        film = self._running().node.film
        if film is None:
            raise RuntimeError("there is no film: set page: true")
        return film.read(after, wake)

    def _running(self) -> NodeThread:
        if self._thread is None:
            raise RuntimeError(NOT_STARTED)
        return self._thread


class Events:
    """A reader of a node's events. One thread at a time; close it."""

    def __init__(self, node: Node, from_start: bool) -> None:
        self._news = threading.Event()
        self._reader = node.read_events(0 if from_start else None, self._news.set)

    def next(self, timeout: float | None = None) -> Numbered | None:
        """(number, monotonic seconds, event); None if there was none within `timeout` seconds.

        A gap in the numbers: this reader was too slow, and the ring went on.
        """
        while (found := self._reader.take()) is None:
            self._news.clear()
            if (found := self._reader.take()) is not None:
                return found
            if not self._news.wait(timeout):
                return None
        return found

    def close(self) -> None:
        self._reader.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
