"""What a state machine is: yours, the built-in store, a test's.

All nodes apply the same commands in the same order, so the same commands must give the same state
and the same answers everywhere: no clock, no randomness, no `hash()`, no order of a set, no setting
of one node's, no I/O whose outcome counts. `raftd.machine.kit` checks a machine for that.

When a machine raises what it must not, every node stops at the same entry, names it, and will stop
there again: the log holds it. The way out is a corrected machine on all nodes that answers that
command or refuses it by MachineError; then restart, and the entry is applied as if for the first
time. Never skip an entry on one node.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import BinaryIO, NamedTuple, Protocol, cast, runtime_checkable

from raftd.core.effects import Event
from raftd.core.types import RaftState

REQUIRED = ("apply", "query", "capture", "restore")
HOOKS = ("attach", "on_applied", "on_event")


@runtime_checkable
class StateMachine(Protocol):
    """Called on one thread, its owner, only; the machine needs no lock of its own.

    A machine may also have the attribute `quick = True`: each apply and query then takes
    microseconds, and the node may call them on its network thread. And it may have any of the
    methods of Attached, SeesApplied and SeesEvents, below.
    """

    def apply(self, command: bytes) -> bytes:
        """Execute one command and return its answer (2 MiB at most).

        Raise MachineError to refuse it: that is an answer like any other, given alike by all nodes;
        the state must be as before. Any other exception stops the node before the entry counts as
        applied.
        """
        ...

    def query(self, request: bytes) -> bytes:
        """Answer from the present state, changing nothing. Raise MachineError to refuse."""
        ...

    def capture(self) -> Iterable[bytes]:
        """Freeze the present state, quickly, and return its bytes as chunks (of 2 MiB at most).

        The chunks are iterated later, on another thread, while `apply` goes on: they must show the
        state at the time of this call. A plain `return [bytes_of_everything]` is right for small
        machines. Called every few seconds (`state_check_interval`) unless the machine has `parts`,
        so it must be cheap. The bytes decide whether replicas are called equal: equal states must
        give equal bytes, however the chunks are cut (sorted; no addresses, no clock).
        """
        ...

    def restore(self, reader: BinaryIO) -> None:
        """Replace the whole state by one that `capture` wrote, and read all of it.

        reader.read(n) returns n bytes unless the end is reached. Any exception stops the node.
        """
        ...


class NodeHandle(Protocol):
    """What the node offers to the machine on it.

    A machine that keeps durable state of its own can hand in snapshots instead of leaving it to
    `capture`: mark an index, write the state of that moment in its own time, hand it in. It must
    still have `capture` (for digests, and for when the log grows faster than it hands in) and
    `restore`, which is given the same bytes. After a restart the node knows only its newest
    snapshot *file* and the log behind it: `restore` is called with that file, or not at all if
    there is none yet, and the entries after it are applied again. So whatever the machine stored by
    itself starts over then, from what `restore` is given or from nothing; state that went on from a
    later index would see commands twice. To use such a store outside, keep the sessions' bytes and
    the index in the same transaction with it: together they are a whole snapshot.
    """

    def state(self) -> RaftState:
        """Term, role, leader, indexes, peers. Any thread. `applied_index` is this machine's: on its
        own thread exactly the last entry that it was given before this call.
        """
        ...

    def now(self) -> float:
        """Seconds on the node's monotonic clock. Any thread. Nothing that apply answers, and no
        replicated state, may depend on it.
        """
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have `call` called on the machine's own thread, between two entries, not earlier.

        Machine's thread. It is not called once the node has stopped. An exception stops the node.
        """
        ...

    def propose(self, command: bytes, term: int) -> None:
        """Put a command of the machine's own into the log, without a session.

        Machine's thread. It is appended only while this node leads in `term`, so what was decided
        as the leader of a term never comes from a later one. Nobody is told what became of it: the
        machine sees it applied, on all nodes, or it does not, and proposes again.
        """
        ...

    def mark_snapshot(self) -> tuple[int, bytes]:
        """(index, sessions): the node keeps what else belongs to a snapshot of this moment.

        Machine's thread only, in on_applied, on_event, query or capture; RuntimeError elsewhere,
        also within `apply`: one entry holds many commands. Four marks are kept. Costs a copy of the
        sessions (microseconds, 65 ms at worst).
        """
        ...

    def hand_in(self, index: int, chunks: Iterable[bytes]) -> None:
        """The machine's own bytes as they were at a marked `index`, as `restore` wants them.

        Any thread; the chunks are iterated on another one, where an OSError fails this snapshot and
        anything else stops the node. What became of it is an event, snapshot_taken or
        snapshot_failed. Raises ValueError if the index is not marked, or was handed in before;
        RuntimeError while an earlier one is still being written.
        """
        ...


@runtime_checkable
class Attached(Protocol):
    def attach(self, node: NodeHandle) -> None:
        """Called once, first of all. Keep `node`."""
        ...


@runtime_checkable
class SeesApplied(Protocol):
    def on_applied(self, index: int) -> object:
        """All commands of entry `index` are applied (it may have had none), or a snapshot at
        `index` was restored. Part of applying: any exception stops the node. A generator that is
        returned is run a piece at a time before the entry counts as applied; all else is ignored.
        """
        ...


@runtime_checkable
class SeesEvents(Protocol):
    def on_event(self, event: Event) -> None:
        """Something happened to this node: role, leader, term, snapshot_taken and so on.

        It comes after every command that was committed here before it, and before those committed
        later. Events differ between nodes and are not in the log: nothing that apply or query
        answers may depend on them. An exception is logged and goes no further.
        """
        ...


@runtime_checkable
class TellsParts(Protocol):
    def parts(self) -> Sequence[tuple[str, Iterable[bytes]]]:
        """Freeze the present state as `capture` does, for comparing it with that of other nodes.

        (name, chunks) a part: nodes whose states are equal must give equal bytes under an equal
        name, however the chunks are cut. What not all nodes hold has a name that says which of it.
        Without this, `capture` is the one part. Called every few seconds.
        """
        ...


def parts_of(machine: StateMachine) -> Sequence[tuple[str, Iterable[bytes]]]:
    """What it tells, or all that it captures."""
    return machine.parts() if isinstance(machine, TellsParts) else [("state", machine.capture())]


class Change(NamedTuple):
    """What one revision did to one key. record, previous: None for a key that is not there."""

    key: bytes
    record: bytes | None
    previous: bytes | None


class Changes(NamedTuple):
    """What one revision of a machine's state changed, in the order in which it was done."""

    revision: int
    changes: Sequence[Change]


@runtime_checkable
class TellsChanges(Protocol):
    def changes(self, after: int) -> Iterable[Changes]:
        """What applying has changed since revision `after`, revision by revision.

        Machine's thread. Raises LookupError if the machine does not keep it any more.
        """
        ...


@runtime_checkable
class TellsTroubles(Protocol):
    def troubles(self) -> Sequence[str]:
        """What is wrong with the machine's state, a line each. Any thread; never blocks."""
        ...


@runtime_checkable
class KnowsPrincipals(Protocol):
    """A machine that says who may do what; see raftd.wire.principal. Machine's thread."""

    def applying(self, principal: bytes) -> Callable[[bytes], bytes | Generator[None, None, bytes]]:
        """What to call in the place of `apply` for the commands of a batch of this principal's.

        It raises MachineError also for what that one may not do. A command that takes longer than
        a millisecond may be a generator, as a query may, below.
        """
        ...

    def query_as(self, principal: bytes, request: bytes) -> bytes | Generator[None, None, bytes]:
        """`query` for this principal. Raises MachineError also for what that one may not ask.

        A query that takes longer than a millisecond may be answered by a generator, which gives way
        between pieces of its work and returns the answer: nothing is applied before it has.
        """
        ...


class MachineError(Exception):
    """A deterministic refusal: every node raises it for the same command in the same state."""


class AnswerLost(Exception):
    """A command was done, and stays so; only its answer cannot be given here. One line."""


class MachineFailure(Exception):
    """An entry cannot be applied, or a state not be restored: the node has to stop. One line."""


class MachineLoadError(Exception):
    """`machine` in the configuration names no usable class. One line: what, and what next."""


class SnapshotFormatError(ValueError):
    """The bytes given to `restore` are not what `capture` writes. One line."""


def load_machine(spec: str) -> StateMachine:
    """An instance of the class that "module:Class" names, made without arguments.

    Imports user code: main thread, before anything is served. Raises MachineLoadError.
    """
    module_name, colon, class_name = spec.partition(":")
    if not colon or not module_name or not class_name:
        raise MachineLoadError(f"machine {spec!r}: write it as module:Class")
    found = getattr(_load_module(spec, module_name), class_name, None)
    if found is None:
        raise MachineLoadError(f"machine {spec!r}: no {class_name} in module {module_name}")
    if not callable(found):
        raise MachineLoadError(f"machine {spec!r}: {class_name} is not a class")
    missing = [name for name in REQUIRED if not callable(getattr(found, name, None))]
    if missing:
        raise MachineLoadError(f"machine {spec!r}: {class_name} has no {', '.join(missing)}")
    try:
        return cast(StateMachine, found())
    except Exception as error:
        raise MachineLoadError(
            f"machine {spec!r}: {class_name}() raised {describe(error)}"
        ) from error


def _load_module(spec: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        parts = module_name.split(".")
        parents = {".".join(parts[: end + 1]) for end in range(len(parts))}
        if error.name in parents:
            raise MachineLoadError(
                f"machine {spec!r}: no module {error.name}; install it or put it on PYTHONPATH"
            ) from error
        raise MachineLoadError(
            f"machine {spec!r}: importing it needs {error.name}; install that"
        ) from error
    except Exception as error:
        raise MachineLoadError(
            f"machine {spec!r}: importing it raised {describe(error)}"
        ) from error


def describe(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
