"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.patching import Patch

FIRST_TEN = (
    "vote-cleared-within-a-term",
    "commit-by-counting-an-old-term",
    "own-match-before-fsync",
    "read-round-reused",
    "resend-acknowledged-before-its-write",
    "aba-on-disk",
    "snapshot-acknowledged-before-its-marker",
    "vote-not-persisted",
    "heartbeat-acknowledges-memory",
    "unadmitted-node-answers",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """rule: what it breaks, as the paper or the checklist says it.

    invariants: by which of the simulator's it must be caught; scripts: or by which conversation.
    """

    name: str
    rule: str
    patches: tuple[Patch, ...]
    invariants: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    in_store: bool = False
    """Looked for by the campaign of tests/machine, not by the simulator."""


def plant(name: str, rule: str, *patches: Patch, by: str, in_store: bool = False) -> Mutant:
    """`by`: names with spaces between; one that begins with "script:" is a conversation."""
    names = by.split()
    return Mutant(
        name,
        rule,
        patches,
        invariants=tuple(item for item in names if not item.startswith("script:")),
        scripts=tuple(item.removeprefix("script:") for item in names if item.startswith("script:")),
        in_store=in_store,
    )


def core(module: str, old: str, new: str) -> Patch:
    return Patch(f"raftd.core.{module}", old, new)


def storage(module: str, old: str, new: str) -> Patch:
    return Patch(f"raftd.storage.{module}", old, new)


def machine(module: str, old: str, new: str) -> Patch:
    return Patch(f"raftd.machine.{module}", old, new)


def node(module: str, old: str, new: str) -> Patch:
    return Patch(f"raftd.node.{module}", old, new)


def in_store(name: str, rule: str, *patches: Patch, by: str) -> Mutant:
    """A bug of the built-in store, for the campaign without Raft."""
    return plant(name, rule, *patches, by=by, in_store=True)


def in_kv(module: str, old: str, new: str) -> Patch:
    return machine(f"kv.{module}", old, new)
