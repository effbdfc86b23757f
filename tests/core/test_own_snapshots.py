"""A node's own snapshot stands for one entry: its term, and the configuration of that time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raftd.core import snapshots
from raftd.core.effects import BrokenInvariant
from tests.core.commands import Script


def led(*lines: str) -> Script:
    script = Script()
    for line in ("cluster 3", "boot", "elect n1 n2 n3", "stabilize", *lines):
        script.run(line)
    return script


def test_the_configuration_before_the_last_one_is_known_until_a_snapshot_covers_it() -> None:
    """The machine may be slow: the next snapshot is taken before it has come to the change."""
    script = led("propose n1 a b", "stabilize", "snapshot n1", "stabilize")
    core = script.nodes["n1"].core
    before, first = core.configuration, core.snapshot
    for line in ("propose n1 c d", "change n1 remove n3", "stabilize"):
        script.run(line)
    change = core.commit_index
    assert core.configuration == core.configuration_at(change) != before
    slow = replace(first, index=change - 2, term=core.log.term_at(change - 2) or 0)
    script._take(script.nodes["n1"], core.snapshot_taken(slow, script.now))
    script.run("stabilize")
    assert core.snapshot == slow != first
    assert core.log.base_index <= change - 2
    assert core.configuration_at(change - 1) == before


def test_a_snapshot_of_another_term_than_the_entry_in_the_log_stops_the_node() -> None:
    script = led("propose n1 a b", "stabilize")
    core = script.nodes["n1"].core
    script.run("snapshot n1")
    good = replace(core.snapshot, index=core.commit_index + 1)
    script.run("propose n1 c")
    script.run("stabilize")
    with pytest.raises(BrokenInvariant, match="stands for the last entry"):
        core.snapshot_taken(replace(good, term=good.term + 1), script.now)
    script._take(script.nodes["n1"], core.snapshot_taken(good, script.now))
    assert core.snapshot == good


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_long_log_is_let_go_in_pieces(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once was a pause of the network thread, at each snapshot: 150 ms for 300,000."""
    monkeypatch.setattr(snapshots, "COMPACT_ENTRIES_MAX", 3)
    script = Script()
    for line in ("settings keep_entries=2", "cluster 3", "boot", "elect n1 n2 n3", "stabilize"):
        script.run(line)
    script.run("propose n1 a b c d e f g h i j k")
    script.run("stabilize")
    script.run("tick n1 0.1")
    script.run("stabilize")
    core, bases = script.nodes[node].core, [0]
    script.run(f"snapshot {node}")
    script.run("stabilize")
    bases.append(core.log.base_index)
    while core.wake_at(script.now) <= script.now and len(bases) < 9:
        script.do_tick(node)
        bases.append(core.log.base_index)
    assert bases == [0, 3, 6, 9, 10], "two entries stay before the snapshot, at 12"
    assert core._s.compact_after is None
