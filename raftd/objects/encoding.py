"""The bytes of commands, queries, answers and snapshots: MessagePack with types, never pickle.

command    version u8 = 1, then MessagePack [object, method, {argument: value}, fence], the fence
           being [lock, token] or nil
           a query is the same; arguments that the caller left out stand there with their defaults
answer     0x01, then the answer's MessagePack; or 0x02, then text: why the method failed
snapshot   "robj", version u8 = 1, objects u32, then, by name, each as length u32 and MessagePack
           [name, class, {field: value}]; little-endian

All is read by the declared types, so bytes that come from elsewhere make nothing but those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from struct import Struct
from typing import Any, BinaryIO, Final

import msgspec

from raftd.machine.protocol import SnapshotFormatError
from raftd.objects import integers
from raftd.objects.declaring import Asked, Declared
from raftd.objects.errors import CommandFailed, DeclarationError

VERSION: Final = 1
MAGIC: Final = b"robj"
HEAD: Final = Struct("<4sBI")
LENGTH: Final = Struct("<I")
DONE: Final = b"\x01"
FAILED: Final = b"\x02"
CHUNK_BYTES: Final = 1 << 20
MISFIT: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What is raised for a value that cannot travel, and for bytes that are not what they should be.

msgspec's own errors became ValueErrors after 0.20; without their name here a stranger's bytes ended
every node that had an older one.
"""


class Request(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A command or query as it travels."""

    object: str
    method: str
    arguments: msgspec.Raw
    fence: tuple[str, int] | None


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request).decode
decode = msgspec.msgpack.decode


class FormatError(ValueError):
    """These bytes are no command or query of this version. One line."""


def encode_call(
    name: str,
    asked: Asked,
    fence: tuple[str, int] | None,
    args: Sequence[Any],
    named: Mapping[str, Any],
) -> bytes:
    """Raises TypeError, naming the argument, unless all are of the declared types."""
    try:
        bound = asked.signature.bind(*args, **named)
        bound.apply_defaults()
        arguments = _encode(bound.arguments)
        decode(arguments, type=asked.arguments)
    except MISFIT as error:
        raise TypeError(f"{asked.where}: {error}") from None
    request = Request(name, asked.method.name, msgspec.Raw(arguments), fence)
    return bytes((VERSION,)) + _encode(request)


def decode_call(data: bytes) -> Request:
    """Raises FormatError."""
    if not data or data[0] != VERSION:
        found = f"version {data[0]}" if data else "nothing"
        raise FormatError(f"a command of version {VERSION} is expected, this is {found}")
    try:
        return _request(memoryview(data)[1:])
    except MISFIT as error:
        raise FormatError(f"not a command of replicated objects: {error}") from None


def decode_arguments(asked: Asked, raw: msgspec.Raw) -> dict[str, Any]:
    """Raises FormatError."""
    try:
        found = decode(raw, type=asked.arguments)
    except MISFIT as error:
        raise FormatError(f"{asked.where}: {error}") from None
    return {name: getattr(found, name) for name in found.__struct_fields__}


def encode_answer(answer: object) -> bytes:
    """Raises one of MISFIT."""
    return DONE + _encode(answer)


def encode_failure(text: str) -> bytes:
    return FAILED + text.encode("utf-8", "backslashreplace")


def decode_answer(asked: Asked, data: bytes) -> Any:
    """Raises CommandFailed."""
    if data[:1] == FAILED:
        raise CommandFailed(data[1:].decode("utf-8", "replace"))
    try:
        if data[:1] == DONE:
            return decode(memoryview(data)[1:], type=asked.answer)
        text = "an answer of a newer version; upgrade this program"
    except MISFIT as error:
        text = f"its answer is not what its annotation says: {error}"
    raise CommandFailed(f"{asked.where} was done, but {text}")


def check_initial(each: Declared) -> None:
    """Raises DeclarationError unless the values that it begins with are of its fields' types, and
    come back from a snapshot as they are: a defaultdict would be a dict on some of the nodes.
    """
    try:
        read = load([each], BytesIO(b"".join(dump([each], {each.name: each.template}))))[each.name]
    except (SnapshotFormatError, TypeError) as error:
        raise DeclarationError(f"{each.cls.__name__}: it begins wrong: {error}") from None
    for name in each.fields:
        other = integers.other_kind(getattr(each.template, name), getattr(read, name))
        if other is not None:
            had, has = (kind.__name__ for kind in other)
            text = (
                f"{name} has a {had}, and whoever reads a snapshot a {has} there: begin with that"
            )
            raise DeclarationError(f"{each.cls.__name__}: it begins wrong: {text}")


# -- snapshots ---------------------------------------------------------------------------------


def dump(declared: Sequence[Declared], states: Mapping[str, Any]) -> list[bytes]:
    """The whole state as chunks. Raises TypeError or OverflowError, naming the object."""
    parts = [HEAD.pack(MAGIC, VERSION, len(declared))]
    for each in declared:
        state = states[each.name]
        values = {name: getattr(state, name) for name in each.fields}
        try:
            body = _encode([each.name, each.cls.__name__, values])
        except MISFIT as error:
            raise TypeError(f"{each.name}: what it holds cannot be kept: {error}") from error
        parts += (LENGTH.pack(len(body)), body)
    whole = b"".join(parts)
    return [whole[at : at + CHUNK_BYTES] for at in range(0, len(whole), CHUNK_BYTES)]


def load(declared: Sequence[Declared], reader: BinaryIO) -> dict[str, Any]:
    """The inverse. An object or field that is not in it begins as it is declared; an integer where
    a float is declared stays one (integers.py).

    Raises SnapshotFormatError: cut off, of another kind, or of objects that this program lacks.
    """
    return _load(declared, reader, _as_it_was)


def again(each: Declared, state: Any) -> Any:
    """One object as it is after a snapshot. Raises TypeError, SnapshotFormatError."""
    return load([each], BytesIO(b"".join(dump([each], {each.name: state}))))[each.name]


def _as_it_was(raw: msgspec.Raw, kind: Any) -> Any:
    read = _by_type(raw, kind)
    if not integers.may_stand_in(kind):
        return read
    try:
        plain = decode(raw)
    except MISFIT:  # keys that only their type makes hashable
        return read
    return integers.left(read, plain)


def _by_type(raw: msgspec.Raw, kind: Any) -> Any:
    return decode(raw, type=kind)


def _load(
    declared: Sequence[Declared], reader: BinaryIO, read_as: Callable[[msgspec.Raw, Any], Any]
) -> dict[str, Any]:
    known = {each.name: each for each in declared}
    states = {each.name: each.new_state() for each in declared}
    for name, cls, values in _objects(reader):
        here = known.get(name)
        if here is None:
            raise SnapshotFormatError(f"the snapshot has an object {name!r}: declare it again")
        if cls != here.cls.__name__:
            text = f"{name!r} is a {cls} in the snapshot and a {here.cls.__name__} here"
            raise SnapshotFormatError(f"{text}: give the new one another name")
        try:
            read = {field: read_as(raw, here.fields[field]) for field, raw in values.items()}
        except KeyError as error:
            text = f"the snapshot has a field {name}.{error.args[0]}: leave it in the class"
            raise SnapshotFormatError(text) from None
        except MISFIT as error:
            raise SnapshotFormatError(f"{name}: {error}") from None
        states[name] = here.new_state(read)
    return states


def canonical(declared: Sequence[Declared], chunks: Sequence[bytes]) -> Iterator[bytes]:
    """The bytes of `dump` as whoever has read them by their types would write them. Any thread.

    Where a field is a float an integer may stand in it. A member of an older version that restored
    a snapshot has 3.0 there, and must not be told for it that its state differs.
    """
    try:
        states = _load(declared, BytesIO(b"".join(chunks)), _by_type)
    except SnapshotFormatError:
        yield from chunks  # nobody could restore it, so all have it as it was made
    else:
        yield from dump(declared, states)


def _objects(reader: BinaryIO) -> Iterator[tuple[str, str, dict[str, msgspec.Raw]]]:
    magic, version, count = HEAD.unpack(_exactly(reader, HEAD.size))
    if magic != MAGIC or version != VERSION:
        text = f"{magic!r} version {version}, this program reads {MAGIC!r} {VERSION}"
        raise SnapshotFormatError(f"replicated objects: {text}; start the newer program")
    for _ in range(count):
        (length,) = LENGTH.unpack(_exactly(reader, LENGTH.size))
        body = _exactly(reader, length)
        try:
            found = decode(body, type=tuple[str, str, dict[str, msgspec.Raw]])
        except MISFIT as error:
            raise SnapshotFormatError(f"replicated objects: {error}") from None
        yield found
    if reader.read(1):
        raise SnapshotFormatError("replicated objects: bytes behind the last object")


def _exactly(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size)
    if len(data) != size:
        raise SnapshotFormatError(f"replicated objects: cut off, {len(data)} of {size} bytes")
    return data
