"""Short ways to put a question to one node, for the tests of the paper's rules."""

from __future__ import annotations

from raftd.core.effects import Effects
from raftd.core.messages import (
    AppendRequest,
    Reply,
    Request,
    VoteRequest,
)
from raftd.core.types import Entry, EntryType
from tests.core.commands import Script


def script(*lines: str) -> Script:
    env = Script()
    for line in lines:
        env.run(line)
    return env


def formed(*disks: str) -> Script:
    """Three nodes that know each other, with these disks, without a leader."""
    return script("settings prevote=no", "cluster 3", *disks, "boot")


def ask(env: Script, name: str, request: Request) -> Reply | None:
    """What `name` answers at once, if anything; syncs nothing."""
    effects = env.nodes[name].core.step(request, env.now, "asked")
    return _answer(env, name, effects)


def _answer(env: Script, name: str, effects: Effects) -> Reply | None:
    env.nodes[name].queued += effects.persist
    return next((reply for token, reply in effects.replies if token == "asked"), None)


def sync(env: Script, name: str) -> Reply | None:
    """Sync all that `name` has queued; returns the answer that waited for it."""
    node = env.nodes[name]
    done, node.queued = node.queued, []
    node.disk += done
    return _answer(env, name, node.core.persisted(done[-1].seq, env.now))


def vote(term: int, candidate: str = "n2", last: tuple[int, int] = (0, 0)) -> VoteRequest:
    return VoteRequest(term, candidate, last[0], last[1], number=1)


def append(term: int, prev: tuple[int, int], *terms: int, commit: int = 0) -> AppendRequest:
    entries = tuple(
        Entry(prev[0] + 1 + offset, each, EntryType.BATCH, b"x")
        for offset, each in enumerate(terms)
    )
    return AppendRequest(term, "n2", prev[0], prev[1], entries, commit, number=1)
