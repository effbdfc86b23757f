"""A backup file: what is written is read, and damage at any byte is found."""

from __future__ import annotations

import io
from zlib import crc32

import pytest

from raftd.wire.backup import CHUNK_BYTES_MAX, BackupReader, BackupWriter, BadBackup, Head

SNAPSHOT = b"some snapshot file" * 3


def head_of(data: bytes) -> Head:
    return Head("0123456789abcdef", "n1", 1234, 5, len(data), crc32(data))


def written(data: bytes = SNAPSHOT, pieces: int = 20) -> bytes:
    out = io.BytesIO()
    writer = BackupWriter(head_of(data), out.write)
    for at in range(0, len(data), pieces):
        writer.add(data[at : at + pieces])
    writer.finish()
    return out.getvalue()


def read(data: bytes) -> tuple[Head, bytes]:
    reader = BackupReader(io.BytesIO(data), "a.bak")
    return reader.head, b"".join(reader.chunks())


def test_what_is_written_is_read() -> None:
    assert read(written()) == (head_of(SNAPSHOT), SNAPSHOT)
    assert read(written(b"")) == (head_of(b""), b"")


def test_a_piece_larger_than_a_chunk_becomes_several() -> None:
    data = bytes(CHUNK_BYTES_MAX + 1)
    assert read(written(data, len(data))) == (head_of(data), data)


def test_a_flipped_bit_at_any_byte_is_found() -> None:
    whole = written()
    for at in range(len(whole)):
        for bit in (1, 0x80):
            damaged = bytearray(whole)
            damaged[at] ^= bit
            with pytest.raises(BadBackup, match=r"a\.bak"):
                read(bytes(damaged))


def test_a_cut_at_any_byte_is_found() -> None:
    whole = written()
    for end in range(len(whole)):
        with pytest.raises(BadBackup, match="too early"):
            read(whole[:end])


def test_more_bytes_at_the_end_are_found() -> None:
    with pytest.raises(BadBackup, match="more bytes follow"):
        read(written() + b"\0")


def test_another_backups_chunks_do_not_fit() -> None:
    """Every part of the mixture is whole by itself."""
    one, other = written(b"a" * 60), written(b"b" * 60)
    size = len(one) - len(SNAPSHOT)
    for at in range(1, size):
        if one[:at] != other[:at]:
            with pytest.raises(BadBackup):
                read(one[:at] + other[at:])


def test_a_newer_format_is_refused() -> None:
    newer = bytearray(written())
    newer[8] = 2
    with pytest.raises(BadBackup, match="version 2, this raftd knows up to 1: use a newer"):
        read(bytes(newer))


def test_something_else_is_no_backup() -> None:
    with pytest.raises(BadBackup, match="does not start like a backup"):
        read(b"PK\x03\x04" + bytes(100))


def test_a_node_that_sends_something_else_than_it_announced() -> None:
    for data in (SNAPSHOT[:-1], SNAPSHOT[:-1] + b"?"):
        writer = BackupWriter(head_of(SNAPSHOT), lambda data: None)
        writer.add(data)
        with pytest.raises(BadBackup, match=r"n1 sent .* instead of .*: back up from"):
            writer.finish()


def test_an_id_that_could_do_something_to_a_terminal() -> None:
    out = io.BytesIO()
    BackupWriter(Head("c1", "n\x1b[2J", 1, 1, 0, 0), out.write).finish()
    with pytest.raises(BadBackup, match="ids are wrong"):
        read(out.getvalue())


def test_an_id_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        BackupWriter(Head("c" * 256, "n1", 1, 1, 0, 0), lambda data: None)
