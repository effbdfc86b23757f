"""Names that nobody configured: a few are remembered, a flood is not."""

from __future__ import annotations

from raftd.core.membership import STRANGERS_MAX
from raftd.core.messages import HelloReply, HelloRequest
from raftd.core.types import Identity
from tests.core.commands import Script


def test_a_flood_of_strangers_is_not_recorded() -> None:
    env = Script()
    for line in ("cluster 3 fresh", "boot"):
        env.run(line)
    node = env.nodes["n1"]

    def hello(name: str) -> str:
        """What n1 answers once everything is durable: a refusal, or nothing."""
        identity = Identity(node.core.identity.cluster, name, f"i-{name}")
        effects = node.core.step(HelloRequest(identity, (), False), env.now, name)
        if effects.persist:
            effects = node.core.persisted(effects.persist[-1].seq, env.now)
        replies = [reply for token, reply in effects.replies if token == name]
        assert isinstance(replies[0], HelloReply)
        return replies[0].refused

    refusals = [hello(f"x{number}") for number in range(2 * STRANGERS_MAX)]
    assert sum(not refused for refused in refusals) <= STRANGERS_MAX
    assert "'x511' is in no configuration here" in refusals[-1]
    assert not hello("n2"), "a member is always welcome"
    assert not hello("x0"), "and so is who was there before"
