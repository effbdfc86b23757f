"""Undo what a node recorded of another while the cluster was still being formed.

A record is a promise: "I help no other incarnation of that node to take part", so that a node that
lost its disk, and with it a vote, cannot vote again. Whoever reaches the ports can make a forming
cluster record a wrong incarnation, and then the right node is refused for ever.

Why it is safe: a directory may only forget while its node was never admitted, has no term and no
log. A vote or acknowledgement of a lost disk matters only together with a majority, whose other
nodes have a term: none of them can be made to forget. In a cluster of three one of those is among
the two who would have to record the node anew. In a larger one it might never have met that node:
there the operator must see first that no node has been admitted (`raftctl status`).
"""

from __future__ import annotations

from raftd.core.types import NodeId, Recovered, Write
from raftd.storage.directory import open_directory
from raftd.storage.fs import FileSystem
from raftd.storage.identity import load_identity


class CannotForget(Exception):
    """One line: why not, and what to do instead. Nothing was changed."""


def forget(fs: FileSystem, root: str, node: NodeId) -> str:
    """Undo the record of `node` in a stopped node's directory. Returns the incarnation that it was.

    Raises CannotForget, StorageError (also if the directory is in use), OSError.
    """
    found = load_identity(fs, root)
    if found is None:
        raise CannotForget(f"{root} holds no node's data")
    identity = found.identity
    directory = open_directory(
        fs, root, cluster=identity.cluster, node=identity.node, new_incarnation=_never
    )
    try:
        recovered = directory.recover()
        _may_forget(identity.node, recovered)
        records = dict(recovered.records)
        if node not in records:
            known = ", ".join(records) or "nobody"
            raise CannotForget(f"nothing is recorded of {node!r} here; recorded: {known}")
        directory.wal.commit([Write(1, records=((node, ""),))])
    finally:
        directory.close()
    return records[node]


def _may_forget(own: NodeId, found: Recovered) -> None:
    state = found.hard_state
    fresh = not found.admitted and not state.term and not found.entries
    if not fresh or found.snapshot is not None:
        raise CannotForget(
            f"{own} has taken part in its cluster (term {state.term}): what it recorded protects "
            "acknowledged writes and stays. Bring back the old directory of whoever is refused"
        )


def _never() -> str:
    raise CannotForget("the identity is gone")
