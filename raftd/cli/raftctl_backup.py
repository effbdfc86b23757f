"""raftctl backup: a node's snapshot becomes a file; and is a file still what was written?"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from raftd.cli.progress import Progress
from raftd.cli.raftctl_output import complain, show_json
from raftd.storage.fs import OsFileSystem, Spread
from raftd.wire.backup import BackupWriter, BadBackup, Head
from raftd.wire.backup_files import reader_of
from raftd.wire.etcd_snapshot import NOBODY

YES, NO, USAGE, NOT_DONE = 0, 1, 2, 3
PARTIAL_SUFFIX = ".partial"


def backup(args: Namespace, client: Any) -> int:
    """Under a temporary name until it is whole and synced; "-" gets it as it comes."""
    try:
        with _target(args.file) as write:
            parts = client.backup(args.source, timeout=args.timeout)
            head = next(parts)
            writer = BackupWriter(head, write)
            with Progress(sys.stderr, head.size_bytes) as progress:
                for part in parts:
                    writer.add(part)
                    progress.show(writer.done_bytes)
            sha256 = writer.finish()
    except BadBackup as error:
        complain(str(error))
        return NOT_DONE
    except FileExistsError:
        complain(f"{args.file} exists: name another file, or remove it first")
        return USAGE
    except BrokenPipeError:
        complain("nobody reads the backup any more: it is cut")
        raise
    except OSError as error:
        complain(f"{error.filename or args.file}: {error.strerror}: nothing was kept")
        return USAGE
    _tell(args, head, sha256, "ok")
    return YES


def verify(args: Namespace, _: None) -> int:
    """0: whole; 1: damaged or no backup; 2: cannot be read."""
    try:
        with open(args.file, "rb") as file:
            reader = reader_of(file, args.file)
            with Progress(sys.stderr, reader.head.size_bytes) as progress:
                done = 0
                for chunk in reader.chunks():
                    done += len(chunk)
                    progress.show(done)
    except BadBackup as error:
        complain(str(error))
        return NO
    except OSError as error:
        complain(f"{args.file}: {error.strerror}: name a file of `raftctl backup`")
        return USAGE
    _tell(args, reader.head, reader.sha256, "whole")
    return YES


@contextmanager
def _target(path: str) -> Iterator[Callable[[bytes], object]]:
    """What writes on. Raises FileExistsError, OSError."""
    if path == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    if os.path.lexists(path):
        raise FileExistsError(path)
    fs, partial = OsFileSystem(), path + PARTIAL_SUFFIX
    with suppress(FileNotFoundError):
        fs.unlink(partial)  # of an attempt that was killed
    file, at = fs.create(partial), 0
    spread = Spread(file)  # a node may have its log on this disk

    def write(data: bytes) -> None:
        nonlocal at
        file.write(at, data)
        at += len(data)
        spread.wrote(len(data))

    try:
        yield write
        file.sync()
        fs.rename(partial, path)
    except BaseException:
        file.close()
        with suppress(FileNotFoundError):
            fs.unlink(partial)
        raise
    file.close()
    fs.sync_directory(os.path.dirname(path) or ".")


def _tell(args: Namespace, head: Head, sha256: str, word: str) -> None:
    """A backup on standard output leaves that to itself."""
    if args.output == "json":
        found = {
            "file": args.file,
            "cluster_id": head.cluster,
            "node_id": head.node,
            "index": head.index,
            "term": head.term,
            "snapshot_bytes": head.size_bytes,
            "sha256": sha256,
        }
        show_json(found) if args.file != "-" else None
        return
    of = f"cluster {head.cluster} at index {head.index} of term {head.term}, from {head.node}"
    if head.cluster == NOBODY:
        of = "a store, as `etcdctl snapshot save` keeps it"
    text = f"{word}: {args.file}: {of}, {head.size_bytes} bytes, sha256 {sha256}"
    print(text, file=sys.stderr if args.file == "-" else sys.stdout)
