"""`raftd recover`: a lost majority's survivor becomes a new cluster."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raftd.backup.recover import NewCluster, Survivor

OK, USAGE = 0, 2
ADD_YES = "nothing was changed; to make a new cluster of this node alone, add --yes"


def add_to(commands: Any) -> None:
    """The command. It needs no settings but the directory."""
    recover = commands.add_parser(
        "recover",
        help="make a new cluster of one of a node whose majority is gone for good",
        description="The last resort, when a majority of the disks is gone for good. The stopped "
        "node's directory becomes that of the only node of a NEW cluster, with all that the node "
        "has; the old directory is kept beside it. What only the others had is lost. See with "
        "`raftd inspect DIR DIR` which survivor has most. Exit codes: 0 done, 2 not done.",
        allow_abbrev=False,
    )
    recover.add_argument("--data-dir", required=True, metavar="DIR", help="of the stopped node")
    recover.add_argument("--yes", action="store_true", help="do it; else it is only told")
    recover.add_argument("--json", action="store_true", help="tell it as one JSON object")
    recover.set_defaults(run=_recover)


def _recover(arguments: argparse.Namespace) -> int:
    from raftd.backup.recover import CannotRecover, recover, survivor
    from raftd.storage.errors import StorageError
    from raftd.storage.fs import OsFileSystem

    fs, root = OsFileSystem(), os.path.abspath(arguments.data_dir)
    try:
        found = survivor(fs, root)
        if not arguments.json:
            _tell(root, found)
        if not arguments.yes:
            _tell_as_json(root, found, None) if arguments.json else print(ADD_YES)
            return USAGE
        made = recover(fs, root, secrets.token_hex(8))
    except (CannotRecover, StorageError) as error:
        print(f"raftd: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE
    except OSError as error:
        where = error.filename or root
        print(f"raftd: {where}: {error.strerror}; nothing of the old is lost", file=sys.stderr)
        return USAGE
    if arguments.json:
        _tell_as_json(root, found, made)
        return OK
    print(f"recovered: {root} is the new cluster {made.cluster}; the old data is {made.kept}")
    print(f"next: start {found.identity.node}, then let nodes with empty directories join it")
    return OK


def _tell(root: str, found: Survivor) -> None:
    who = found.identity
    others = ", ".join(name for name in found.members if name != who.node) or "nobody else"
    print(
        f"{root}: node {who.node} of cluster {who.cluster}, up to index {found.last_index} of "
        f"term {found.last_term}; with it were: {others}"
    )
    print(
        f"LOST: whatever was acknowledged after index {found.last_index} by a majority without "
        f"{who.node}"
    )
    print("KEPT: all up to there, also writes whose clients never heard that they were done")
    print("NEVER AGAIN: start none of the others with its old data where clients reach it")


def _tell_as_json(root: str, found: Survivor, made: NewCluster | None) -> None:
    """made: None if nothing was changed."""
    who = found.identity
    told: dict[str, object] = {"data_dir": root, "node_id": who.node, "of": who.cluster}
    told |= {"last_index": found.last_index, "last_term": found.last_term, "done": made is not None}
    told |= {} if made is None else {"cluster_id": made.cluster, "kept": made.kept}
    print(json.dumps(told))
