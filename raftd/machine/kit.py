"""Is this state machine fit to be replicated? A check for yours, to be called from a test:

    def test_my_machine() -> None:
        check_machine(MyMachine, commands=[b"...", b"..."], queries=[b"..."])

Give it commands that use every feature, a refused one included: it can only judge what it sees. It
cannot see a dependence on PYTHONHASHSEED (run your tests under two values) or on the clock's time.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from raftd.machine.protocol import MachineError, StateMachine, describe

CHUNK_BYTES_MAX = 2 << 20
THREAD_SECONDS_MAX = 60.0

Factory = Callable[[], StateMachine]
Answer = tuple[str, bytes]


class MachineCheckFailed(AssertionError):
    """The machine must not be replicated as it is. One line: which rule, at which command."""


def check_machine(
    factory: Factory,
    commands: Sequence[bytes],
    queries: Sequence[bytes] = (),
    prefixes: int = 16,
) -> None:
    """Raise MachineCheckFailed unless machines made by `factory` keep the protocol's promises.

    prefixes: at how many places along `commands` snapshots are taken; each costs a whole run. Any
    thread; starts threads of its own and ends them.
    """
    answers, states = _first_run(factory, commands, queries)
    _same_again(factory, commands, queries, answers, states[-1])
    step = max(1, len(commands) // max(1, prefixes))
    for taken in sorted({*range(0, len(commands) + 1, step), len(commands)}):
        _snapshot_and_rest(factory, commands, answers, states, taken)
        _capture_stands_still(factory, commands, states, taken)
        _capture_on_another_thread(factory, commands, states, taken)


def _first_run(
    factory: Factory, commands: Sequence[bytes], queries: Sequence[bytes]
) -> tuple[list[Answer], list[bytes]]:
    """Answers, and the state before the first and after every command."""
    machine = factory()
    answers: list[Answer] = []
    states = [_state(machine, "before the first command")]
    for number, command in enumerate(commands):
        answers.append(_apply(machine, number, command))
        states.append(_state(machine, f"after command {number}"))
        if answers[-1][0] == "refused" and states[-1] != states[-2]:
            raise MachineCheckFailed(
                f"command {number} {command[:32]!r} was refused but changed the state; check first,"
                " change then"
            )
        for query in queries:
            _query(machine, query)
        if queries and _state(machine, "after queries") != states[-1]:
            raise MachineCheckFailed(f"the queries after command {number} changed the state")
    return answers, states


def _same_again(
    factory: Factory,
    commands: Sequence[bytes],
    queries: Sequence[bytes],
    answers: list[Answer],
    final: bytes,
) -> None:
    """A replica that is never captured or queried on its way must come out the same."""
    one, two = factory(), factory()
    for number, command in enumerate(commands):
        for machine in (one, two):
            answer = _apply(machine, number, command)
            if answer != answers[number]:
                raise MachineCheckFailed(
                    f"command {number} {command[:32]!r} was answered {answers[number]!r:.80} by one"
                    f" replica and {answer!r:.80} by another"
                )
    for machine in (one, two):
        if _state(machine, "after all commands") != final:
            raise MachineCheckFailed("the same commands gave snapshots that differ byte for byte")
    for query in queries:
        if _query(one, query) != _query(two, query):
            raise MachineCheckFailed(f"query {query[:32]!r}: two replicas answered differently")


def _snapshot_and_rest(
    factory: Factory,
    commands: Sequence[bytes],
    answers: list[Answer],
    states: list[bytes],
    taken: int,
) -> None:
    """Snapshot + rest of the log = the whole log; in a new machine and over a used one."""
    used = factory()
    for number, command in enumerate(commands):
        _apply(used, number, command)
    for what, machine in (("a new machine", factory()), ("a machine in use", used)):
        where = f"snapshot after {taken} commands, restored into {what}"
        reader = io.BytesIO(states[taken])
        try:
            machine.restore(reader)
        except Exception as error:
            raise MachineCheckFailed(f"{where}: restore raised {describe(error)}") from error
        if reader.read(1):
            raise MachineCheckFailed(f"{where}: restore left bytes unread")
        if _state(machine, where) != states[taken]:
            raise MachineCheckFailed(f"{where}: captured again, it has other bytes")
        for number in range(taken, len(commands)):
            if _apply(machine, number, commands[number]) != answers[number]:
                raise MachineCheckFailed(f"{where}: command {number} has another answer now")
        if _state(machine, where) != states[-1]:
            raise MachineCheckFailed(f"{where}: with the rest of the commands the state differs")


def _capture_stands_still(
    factory: Factory, commands: Sequence[bytes], states: list[bytes], taken: int
) -> None:
    """The chunks of a capture show its moment, though commands are applied between them."""
    machine = factory()
    for number in range(taken):
        _apply(machine, number, commands[number])
    chunks = iter(machine.capture())
    parts: list[bytes] = []
    where = f"a capture after {taken} commands, read while later ones were applied"
    for number in range(taken, len(commands)):
        _apply(machine, number, commands[number])
        parts.append(_next(chunks, where) or b"")
    parts.append(_join(chunks, where))
    if b"".join(parts) != states[taken]:
        raise MachineCheckFailed(f"{where}, shows their changes; copy what is captured")
    if _state(machine, where) != states[-1]:
        raise MachineCheckFailed(f"{where}, disturbed the machine's own state")


def _capture_on_another_thread(
    factory: Factory, commands: Sequence[bytes], states: list[bytes], taken: int
) -> None:
    """The same with a real thread, as a node does it."""
    machine = factory()
    for number in range(taken):
        _apply(machine, number, commands[number])
    chunks = machine.capture()
    where = f"a capture after {taken} commands, read on another thread"
    found: list[bytes | BaseException] = []

    def read() -> None:
        try:
            found.append(_join(chunks, where))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
            found.append(error)

    reader = threading.Thread(target=read, name="machine-kit", daemon=True)
    reader.start()
    for number in range(taken, len(commands)):
        _apply(machine, number, commands[number])
    reader.join(THREAD_SECONDS_MAX)
    if not found:
        raise MachineCheckFailed(f"{where}, does not end within {THREAD_SECONDS_MAX:g} s")
    if isinstance(found[0], BaseException):
        raise found[0]
    if found[0] != states[taken]:
        raise MachineCheckFailed(f"{where}, shows later changes; copy what is captured")


def _apply(machine: StateMachine, number: int, command: bytes) -> Answer:
    try:
        return "answered", _bytes(machine.apply(command), f"the answer to command {number}")
    except MachineError as error:
        return "refused", str(error).encode("utf-8", "backslashreplace")
    except MachineCheckFailed:
        raise
    except Exception as error:
        raise MachineCheckFailed(
            f"command {number} {command[:32]!r} raised {describe(error)}: that would stop every"
            " node; answer, or raise MachineError"
        ) from error


def _query(machine: StateMachine, query: bytes) -> Answer:
    try:
        return "answered", _bytes(machine.query(query), f"the answer to query {query[:32]!r}")
    except MachineError as error:
        return "refused", str(error).encode("utf-8", "backslashreplace")
    except MachineCheckFailed:
        raise
    except Exception as error:
        raise MachineCheckFailed(f"query {query[:32]!r} raised {describe(error)}") from error


def _state(machine: StateMachine, where: str) -> bytes:
    return _join(machine.capture(), f"capture {where}")


def _join(chunks: Iterable[bytes], where: str) -> bytes:
    walk = iter(chunks)
    parts: list[bytes] = []
    while (chunk := _next(walk, where)) is not None:
        parts.append(chunk)
    return b"".join(parts)


def _next(chunks: Iterator[bytes], where: str) -> bytes | None:
    """The next chunk, or None after the last."""
    try:
        chunk = next(chunks, None)
    except Exception as error:
        raise MachineCheckFailed(f"{where}: raised {describe(error)}") from error
    if chunk is not None and len(_bytes(chunk, f"{where}: a chunk")) > CHUNK_BYTES_MAX:
        raise MachineCheckFailed(f"{where}: a chunk has {len(chunk)} bytes, cut it smaller")
    return chunk


def _bytes(data: bytes, what: str) -> bytes:
    if not isinstance(data, bytes):
        raise MachineCheckFailed(f"{what} is {type(data).__name__}, not bytes")
    return data
