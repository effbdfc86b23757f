"""Names that nobody configured are not recorded, and a Hello teaches nothing of others."""

from __future__ import annotations

from raftd.core.messages import HelloReply, HelloRequest
from raftd.core.types import Identity
from tests.core.commands import Script


def fresh() -> Script:
    env = Script()
    for line in ("cluster 3 fresh", "boot"):
        env.run(line)
    return env


def hello(env: Script, name: str, incarnation: str = "") -> tuple[HelloReply, bool]:
    """What n1 answers once everything is durable, and whether it wrote something."""
    core = env.nodes["n1"].core
    identity = Identity(core.identity.cluster, name, incarnation or f"i-{name}")
    effects = core.step(HelloRequest(identity, ()), env.now, name)
    wrote = bool(effects.persist)
    if wrote:
        effects = core.persisted(effects.persist[-1].seq, env.now)
    [reply] = [reply for token, reply in effects.replies if token == name]
    assert isinstance(reply, HelloReply)
    return reply, wrote


def test_strangers_are_not_recorded() -> None:
    env = fresh()
    for name in ("x0", "mallory"):
        reply, wrote = hello(env, name)
        assert f"{name!r} is in no configuration here" in reply.refused
        assert not wrote
        assert env.nodes["n1"].core.expected_incarnation(name) is None
    reply, wrote = hello(env, "n2")
    assert wrote, "a member is recorded"
    assert not reply.refused


def test_a_hello_learns_nothing_of_the_others() -> None:
    """With another's incarnation one could speak in its name."""
    env = fresh()
    hello(env, "n3")
    reply, _ = hello(env, "n2")
    assert reply.records == (("n2", "i-n2"),), "its own record is what it needs for its admission"
    reply, _ = hello(env, "n2", "i-another")
    assert "recorded here with another incarnation" in reply.refused
    assert "i-n2" not in reply.refused
    assert reply.records == ()
