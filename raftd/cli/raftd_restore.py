"""`raftd restore`: a backup becomes a node of a new cluster."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from typing import Any

from raftd.cli import settings_flags

OK, DAMAGED, USAGE = 0, 1, 2


def add_to(commands: Any, add_settings: Callable[[argparse.ArgumentParser], None]) -> None:
    """The command, with the settings that `raftd serve` will be given."""
    restore = commands.add_parser(
        "restore",
        help="make a data directory of a backup, for a node of a new cluster",
        description="Make data_dir of a file that `raftctl backup` wrote, or `etcdctl snapshot "
        "save` on a member of raftd, for a node of a NEW cluster whose voters are `peers`. Restore "
        "the same file on each of them, with the settings that `raftd serve` will be given, then "
        "start them all. Keys, history, leases and revisions go on where they were; client "
        "sessions are void. data_dir has to be new or empty. Exit codes: 0 done, 1 the backup is "
        "damaged, 2 usage or configuration.",
        allow_abbrev=False,
    )
    restore.add_argument(
        "file", metavar="FILE", help="a file of `raftctl backup`, or of `etcdctl snapshot save`"
    )
    restore.add_argument(
        "--json", action="store_true", help="tell what was made as one JSON object"
    )
    add_settings(restore)
    restore.usage = f"{restore.prog} FILE [--config FILE] [--set KEY=VALUE ...] [--SETTING VALUE]"
    restore.set_defaults(run=_restore)


def _restore(arguments: argparse.Namespace) -> int:
    from raftd.backup.restore import restore
    from raftd.embed.opening import cluster_id, founding_of
    from raftd.storage.errors import StorageError
    from raftd.storage.fs import OsFileSystem
    from raftd.wire.backup import BadBackup
    from raftd.wire.etcd_snapshot import NOBODY

    config = settings_flags.read(arguments).config
    try:
        done = restore(
            OsFileSystem(),
            arguments.file,
            config.data_dir,
            node=config.id,
            fresh_cluster=cluster_id(config.cluster_token, config.peers),
            founding=founding_of(config),
            incarnation=secrets.token_hex(8),
            segment_bytes=config.segment_bytes,
        )
    except BadBackup as error:
        return _complain(str(error), DAMAGED)
    except StorageError as error:
        return _complain(str(error), USAGE)
    except OSError as error:
        return _complain(f"{error.filename or config.data_dir}: {error.strerror}", USAGE)
    head = done.head
    if arguments.json:
        found = {"data_dir": config.data_dir, "node_id": config.id, "cluster_id": done.cluster}
        print(json.dumps({**found, "index": head.index, "term": head.term, "of": head.cluster}))
        return OK
    had = f"{head.node} of cluster {head.cluster} had at index {head.index}"
    if head.cluster == NOBODY:
        had = f"the member had that `etcdctl snapshot save` asked ({head.size_bytes} bytes)"
    made = f"{config.data_dir} is node {config.id} of the new cluster {done.cluster}"
    print(f"restored: {made}, with all that {had}")
    print(
        f"next: restore the same file on every voter ({', '.join(sorted(config.peers))}), then "
        "start them"
    )
    return OK


def _complain(line: str, code: int) -> int:
    print(f"raftd: {' '.join(line.split())}", file=sys.stderr)
    return code
