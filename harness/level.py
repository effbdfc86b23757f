"""Whether nodes have come to the same state: asked of the nodes, compared at one index.

What a node prints (its metrics) is a picture of a moment ago, and two pictures are of two moments.
So nodes are asked by RPC, and a digest counts only beside others of the same applied index. Digests
that differ there mean that replicas have diverged: the data directories are kept then.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from harness.nodes import ROOT, Node, kill_all, wait_until
from raftd._pb import admin_pb2, admin_pb2_grpc

CALL_SECONDS = 30.0
KEPT = ROOT / ".run" / "kept"


class Diverged(AssertionError):
    """Two nodes have applied the same entries and are not in the same state."""


class Where(NamedTuple):
    """How far a node's log goes, and how far its machine is, at one moment."""

    last: int
    applied: int


def status(node: Node) -> Where:
    """Raises grpc.RpcError."""
    with grpc.insecure_channel(node.client_address) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        reply = stub.Status(admin_pb2.StatusRequest(), timeout=CALL_SECONDS)
    return Where(reply.last_index, reply.applied_index)


def digest(node: Node) -> tuple[int, bytes]:
    """(applied index, hash of the state there). Raises grpc.RpcError."""
    with grpc.insecure_channel(node.client_address) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        reply = stub.Digest(admin_pb2.DigestRequest(), timeout=CALL_SECONDS)
    return reply.applied_index, bytes(reply.digest)


def wait_level(nodes: Sequence[Node], timeout: float, ask: Callable[[Node], Where] = status) -> int:
    """Until all have applied all that any of them holds. Returns that index. Raises NodeTrouble."""
    found: list[Where] = []

    def level() -> bool:
        found[:] = [ask(node) for node in nodes]
        return {where.applied for where in found} == {max(where.last for where in found)}

    wait_until(level, timeout, "all nodes to have applied everything", nodes)
    return found[0].applied


def digests(
    nodes: Sequence[Node], timeout: float, ask: Callable[[Node], tuple[int, bytes]] = digest
) -> tuple[int, dict[str, bytes]]:
    """(index, each node's hash of its state there). Raises NodeTrouble.

    Level nodes may still part for a moment: a new leader's entry reaches them one by one. So each
    answer is kept under its index, until all have answered at one, or two have and differ.
    """
    at: dict[int, dict[str, bytes]] = {}
    found: list[int] = []

    def at_one_index() -> bool:
        for node in nodes:
            index, value = ask(node)
            at.setdefault(index, {})[node.id] = value
        found[:] = [i for i, values in at.items() if len(set(values.values())) > 1]
        found.extend(i for i, values in at.items() if len(values) == len(nodes))
        return bool(found)

    wait_until(at_one_index, timeout, "digests at one index", nodes)
    return found[0], at[found[0]]


def check(index: int, values: Mapping[str, bytes], nodes: Sequence[Node]) -> None:
    """Raises Diverged, with the nodes ended and their directories kept, if `values` differ."""
    if len(set(values.values())) > 1:
        states = ", ".join(f"{name} {value.hex()[:16]}" for name, value in values.items())
        raise Diverged(
            f"replicas have diverged at index {index}: {states}; their directories are in "
            f"{keep(nodes)}"
        )


def keep(nodes: Iterable[Node]) -> Path:
    """End the nodes and copy their directories, logs included. Returns where to."""
    nodes = list(nodes)
    kill_all(nodes)
    place = KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    for node in nodes:
        shutil.copytree(node.directory, place / node.id, dirs_exist_ok=True)
    return place
