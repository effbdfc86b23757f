"""The blocking client. Thread-safe; one background loop serves all clients of the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

from raftd.client import operations as ops
from raftd.client.delivery import nodes
from raftd.client.delivery.answers import Done
from raftd.client.delivery.engine import REPORT_SECONDS, to_leader
from raftd.client.delivery.nodes import Event, NodeStatus
from raftd.client.endpoints import parse_endpoint, parse_endpoints
from raftd.client.errors import RaftdError
from raftd.client.faces.blocking import BlockingCallers
from raftd.client.faces.held import Election, Lease, Lock, Queue
from raftd.client.faces.streams import Watch
from raftd.client.operations import Consistency, Data, Operation, data
from raftd.client.recipes.leases import OnLost
from raftd.client.recipes.locks import LOCK_TTL_S
from raftd.client.recipes.watch import Watcher, span
from raftd.client.settings import Options, checked_settings
from raftd.client.txn import operation as txn_operation
from raftd.wire import kv
from raftd.wire.backup import Head
from raftd.wire.leases import CompactResult
from raftd.wire.txn_answers import TxnResult
from raftd.wire.txn_types import Compare, Op, Txn

Answer = TypeVar("Answer")


class Client:
    """A client of one cluster. All methods: any thread, as many as you like; blocking.

    endpoints: "host:port,host:port" or a sequence of those: client ports of some or all nodes.
    options: see `raftd.client.settings.Settings`; `timeout` is in seconds, for calls that name
    none. Raises Invalid for wrong settings; does not connect yet.

    Every method raises the errors of raftd.client.errors: NotDone is certain, OutcomeUnknown is
    not. Keys and values are bytes, or text that stands for its UTF-8 bytes.
    """

    def __init__(self, endpoints: str | Sequence[str], **options: Unpack[Options]) -> None:
        settings = checked_settings(endpoints, options)
        self.endpoints = settings.endpoints
        self._clock = settings.clock
        self._callers = BlockingCallers(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back leases, locks and leaderships; end what waits (unknown if sent), the session.

        Never raises. Within 0.2 s, or 1.2 s if something is held and no leader answers.
        """
        self._callers.close()

    # -- the built-in store -------------------------------------------------------------------

    def put(
        self, key: Data, value: Data, *, lease: int = 0, timeout: float | None = None
    ) -> kv.PutResult:
        """The result's revision is also the key's new mod_revision.

        lease: the id of the lease with which the key ends; 0 takes it off any.
        """
        return self._callers.run(ops.put(key, value, lease), timeout)

    def put_many(
        self, pairs: Iterable[tuple[Data, Data]], *, timeout: float | None = None
    ) -> list[kv.PutResult]:
        """As `submit_many`; not atomic, for that see `batch`."""
        return self._callers.run_many(ops.put_many(pairs), timeout)

    def get(
        self,
        key: Data,
        *,
        revision: int = 0,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.GetResult:
        """The result's `kv` is None if there is no such key. revision: as it was then; 0: now."""
        return self._callers.run(ops.get(key, consistency, revision), timeout)

    def range(
        self,
        prefix: Data = b"",
        *,
        limit: int = 0,
        after: Data = b"",
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> kv.RangeResult:
        """One page of the keys with this prefix, in byte order. more: ask again with after = the
        last key.

        limit 0: as many as the nodes allow in a page. Pages are read one by one, each at its own
        revision.
        """
        return self._callers.run(ops.page(prefix, limit, after, consistency), timeout)

    def delete(self, key: Data, *, timeout: float | None = None) -> kv.DeleteResult:
        """The result is falsy if there was no such key."""
        return self._callers.run(ops.delete(key), timeout)

    def cas(
        self, key: Data, value: Data | None, expect: kv.Expect, *, timeout: float | None = None
    ) -> kv.CasResult:
        """Put `value` (None: delete) if `expect` holds: expect_value(b"..."), expect_version(3),
        expect_mod_revision(17) or expect_absent(), all of raftd.client."""
        return self._callers.run(ops.cas(key, value, expect), timeout)

    def batch(
        self, operations: Iterable[tuple[Data, Data | None]], *, timeout: float | None = None
    ) -> kv.BatchResult:
        """Puts (key, value) and deletes (key, None), all or nothing, one revision.

        A key may appear once.
        """
        return self._callers.run(ops.atomic_batch(operations), timeout)

    def txn(
        self,
        *,
        when: Iterable[Compare] = (),
        then: Iterable[Op] = (),
        otherwise: Iterable[Op] = (),
        timeout: float | None = None,
    ) -> TxnResult:
        """`then` if everything in `when` holds, else `otherwise`: all or nothing, one revision.

        What goes in is made by raftd.client.txn. The result is falsy if `otherwise` was done.
        """
        transaction = Txn(tuple(when), tuple(then), tuple(otherwise))
        return self._callers.run(txn_operation(transaction), timeout)

    def watch(
        self,
        key: Data | None = None,
        *,
        prefix: Data | None = None,
        start_revision: int = 0,
        previous: bool = False,
    ) -> Watch:
        """Every change of a key, or of all keys with a prefix, as an iterator: once, in order.

        start_revision: begin with the changes of that revision, which may be past; 0: from now on.
        previous: events also tell what was there before.
        """
        return Watch(self._callers, Watcher(span(key, prefix), start_revision, previous=previous))

    def compact(self, revision: int, *, timeout: float | None = None) -> CompactResult:
        """Forget the history before this revision: it cannot be read or watched any more."""
        return self._callers.run(ops.compact(revision), timeout)

    # -- what is held for a while -------------------------------------------------------------

    def lease(
        self, ttl_s: int, *, on_lost: OnLost | None = None, timeout: float | None = None
    ) -> Lease:
        """A lease that is kept alive in the background; keys put with it end with it.

        on_lost: called with the reason, on a thread of its own, if it ends before it is revoked.
        """
        return Lease(self._callers, self._clock, on_lost).grant(ttl_s, timeout)

    def lock(
        self,
        name: Data,
        ttl_s: int = LOCK_TTL_S,
        *,
        timeout: float | None = None,
        on_lost: OnLost | None = None,
    ) -> Lock:
        """`with client.lock("name") as owner`: one owner at a time in the whole cluster.

        ttl_s: for how long it stays locked when its owner dies. timeout: to wait behind others;
        None: for ever. owner.token is the fencing token, owner.guard the same for transactions.
        """
        queue = Queue(self._callers, self._clock, data("name", name), ttl_s, on_lost)
        return Lock(queue, timeout)

    def election(
        self, name: Data, ttl_s: int = LOCK_TTL_S, *, on_lost: OnLost | None = None
    ) -> Election:
        """Who leads among those that campaign under this name: `campaign`, `leader`, `observe`."""
        queue = Queue(self._callers, self._clock, data("name", name), ttl_s, on_lost)
        return Election(queue)

    # -- any state machine --------------------------------------------------------------------

    def submit(self, command: Data, *, timeout: float | None = None) -> bytes:
        """Replicate and apply one command, exactly once; the state machine's answer."""
        return self._callers.run(ops.submit(command), timeout)

    def query(
        self,
        query: Data,
        *,
        consistency: Consistency = "linearizable",
        timeout: float | None = None,
    ) -> bytes:
        """Ask the state machine something that changes nothing.

        stale: any node answers from its own state, however old that is.
        """
        return self._callers.run(ops.query(query, consistency), timeout)

    def submit_many(self, commands: Iterable[Data], *, timeout: float | None = None) -> list[bytes]:
        """Many commands, each exactly once, in large batches with several in flight; answers in
        order.

        They are applied in order unless an attempt fails meanwhile; other callers' commands get in
        between. Raises BulkError if some failed: its `results` has each one's answer or error.
        """
        return self._callers.run_many(ops.submit_many(commands), timeout)

    def execute(
        self, operation: Operation[Answer], *, session: bool = True, timeout: float | None = None
    ) -> Done[Answer]:
        """Run an operation of raftd.client.operations: its answer, and its place in the log.

        session: False: a command that makes one log entry and no session, for programs that do one
        thing. It is sent again only after an attempt that certainly did nothing.
        """
        return self._callers.execute(operation, timeout, session)

    # -- the nodes ----------------------------------------------------------------------------

    def status(self, endpoint: str | None = None, *, timeout: float | None = None) -> NodeStatus:
        """One node's own view; None: the leader's, or that of whoever is tried next."""
        return self._ask(nodes.status_at, endpoint, timeout)

    def health(self, endpoint: str | None = None, *, timeout: float | None = None) -> bool:
        """grpc.health.v1: does the node serve?"""
        return self._ask(nodes.health_at, endpoint, timeout)

    def digest(self, endpoint: str | None = None, *, timeout: float | None = None) -> nodes.Digest:
        """Hash of the node's applied state: compare nodes at equal indexes."""
        return self._ask(nodes.digest_at, endpoint, timeout)

    def snapshot(self, endpoint: str | None = None, *, timeout: float | None = None) -> int:
        """Let a node take a snapshot now; its index, once it is durable."""
        return self._ask(nodes.snapshot_at, endpoint, timeout)

    def transfer(self, target: str = "", *, timeout: float | None = None) -> nodes.Transferred:
        """Hand leadership to the node with the id `target`; "": to the best follower."""
        return self._callers.ask(to_leader(nodes.transfer_to(target)), timeout, changes=True)

    def change_member(
        self,
        action: str,
        node_id: str,
        peer_address: str = "",
        client_address: str = "",
        *,
        by: str = "",
        force: bool = False,
        timeout: float | None = None,
    ) -> nodes.MemberChanged:
        """Change the members: add (as a learner), promote, demote, remove, replace, update.

        Answers when the change is committed. by: replace: the learner that takes its place. Raises
        Invalid, with the reason, if the leader will not do it like this.
        """
        question = nodes.change_member_to(action, node_id, peer_address, client_address, by, force)
        return self._callers.ask(to_leader(question), timeout, changes=True)

    def events(self, endpoint: str | None = None, *, from_start: bool = False) -> Iterator[Event]:
        """One node's events as they happen; from_start: first those that it remembers.

        Ends with Unavailable when the node does.
        """
        at = parse_endpoint(endpoint)
        return self._callers.iterate(lambda engine: engine.events(at, from_start=from_start))

    def backup(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> Iterator[Head | bytes]:
        """A backup of one node while it serves; None: of the leader, or of whoever answers.

        First a `raftd.wire.backup.Head`, then the bytes of a snapshot: `BackupWriter` there makes a
        file of them. timeout: to find a node; after that a minute of silence ends it.
        """
        at, seconds = parse_endpoint(endpoint), self._callers.seconds(timeout)
        return self._callers.iterate(lambda engine: engine.backup(at, seconds))

    def ask_each(
        self,
        question: nodes.Question[Answer],
        endpoints: Sequence[str] | None = None,
        *,
        timeout: float = REPORT_SECONDS,
    ) -> dict[str, Answer | RaftdError]:
        """A question of `delivery/nodes.py`, to all endpoints at once: each one's answer or error.

        endpoints: None for those of this client.
        """
        asked = self.endpoints if endpoints is None else parse_endpoints(endpoints)
        return self._callers.ask(
            lambda engine, left: engine.ask_each(question, asked, left), timeout
        )

    def _ask(
        self, question: nodes.Question[Answer], endpoint: str | None, timeout: float | None
    ) -> Answer:
        at = parse_endpoint(endpoint)
        return self._callers.ask(lambda engine, left: engine.ask(question, at, left), timeout)
