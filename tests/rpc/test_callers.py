"""Tokens, passwords, the audit, and who may call: without a node."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from raftd._pb import etcd_pb2 as pb
from raftd.machine.kv.auth import Auth
from raftd.rpc.clients import passwords, tokens
from raftd.rpc.clients.audit import BURST, LINES_PER_SECOND, Audit
from raftd.rpc.clients.callers import Callers, CallerSettings, NotAllowed, NotTrusted
from raftd.rpc.clients.passwords import Passwords
from raftd.rpc.clients.tokens import Tokens
from raftd.rpc.etcd import calls, door
from raftd.rpc.etcd.gateway.routes import PATHS
from raftd.wire.auth import AuthCommand, Kind
from raftd.wire.principal import NOBODY, OWN, of_user

SECRET, OTHER = bytes(32), bytes(range(32))
TTL_MS = 1000


class Clock:
    def __init__(self) -> None:
        self.ms = 5_000_000

    def __call__(self) -> int:
        return self.ms


def made(clock: Clock) -> Tokens:
    return Tokens(clock, TTL_MS, lambda size: bytes(size))


# --- tokens -------------------------------------------------------------------------------------


def test_a_token_ends_when_nobody_uses_it() -> None:
    clock = Clock()
    issuer, other = made(clock), made(clock)
    text = issuer.issue(SECRET, "ann", 7)
    for _ in range(5):
        clock.ms += TTL_MS
        found = issuer.read(SECRET, text)
        assert found is not None, "it lives on while it is used"
        assert found[:2] == ("ann", 7)
    assert other.read(SECRET, text) is None, "a node that never saw it goes by its issue"
    clock.ms += TTL_MS + 1
    assert issuer.read(SECRET, text) is None
    assert issuer.read(SECRET, text) is None


def test_any_node_takes_a_token_of_any_other() -> None:
    clock = Clock()
    text = made(clock).issue(SECRET, "änn", 7)
    clock.ms += TTL_MS
    found = made(clock).read(SECRET, text)
    assert found is not None
    assert found.name == "änn"


def test_a_node_whose_clock_is_a_little_behind_takes_it_and_one_that_is_far_off_does_not() -> None:
    clock, behind = Clock(), Clock()
    text = made(clock).issue(SECRET, "ann", 7)
    behind.ms -= TTL_MS
    assert made(behind).read(SECRET, text) is not None
    behind.ms -= 1
    assert made(behind).read(SECRET, text) is None


def test_nobody_makes_a_token_without_the_secret() -> None:
    clock = Clock()
    issuer = made(clock)
    text = issuer.issue(SECRET, "ann", 7)
    assert issuer.read(OTHER, text) is None
    assert issuer.read(b"", text) is None
    assert issuer.read(b"", made(clock).issue(b"", "ann", 7)) is None, "no secret, no tokens"
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        forged = text[:place] + other + text[place + 1 :]
        assert issuer.read(SECRET, forged) is None or place == len(text) - 1
    for bad in ("", "x", "none", "ü", "a" * 600, "=" * 40, "Bearer " + text, text + "A"):
        assert issuer.read(SECRET, bad) is None


def test_what_is_remembered_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SEEN_MAX", 3)
    clock = Clock()
    issuer = made(clock)
    texts = [issuer.issue(SECRET, f"u{number}", 7) for number in range(5)]
    for text in texts:
        assert issuer.read(SECRET, text)
    clock.ms += TTL_MS
    issuer.read(SECRET, texts[4])
    clock.ms += 1
    assert [issuer.read(SECRET, text) is not None for text in texts] == [False] * 4 + [True]


# --- who calls ----------------------------------------------------------------------------------


def auth_of() -> Auth:
    auth = Auth()
    for kind, fields in (
        (Kind.USER_ADD, (b"root", b"h")),
        (Kind.USER_GRANT, (b"root", b"root")),
        (Kind.USER_ADD, (b"ann", b"h")),
        (Kind.ENABLE, (SECRET,)),
    ):
        auth.apply(AuthCommand(kind, fields))
    return auth


def test_a_token_says_who_it_is_as_long_as_that_user_is_there() -> None:
    auth = auth_of()
    callers = Callers(auth, Clock())
    serial = auth.users["ann"].serial
    shown = {"token": callers.token_for("ann", serial)}
    assert callers.principal_of(shown) == of_user("ann", serial)
    assert callers.principal_of({"authorization": shown["token"]}) == of_user("ann", serial)
    assert callers.principal_of({}) == NOBODY
    for change in (
        AuthCommand(Kind.USER_PASSWORD, (b"ann", b"other")),
        AuthCommand(Kind.USER_DELETE, (b"ann",)),
        AuthCommand(Kind.USER_ADD, (b"ann", b"h")),
    ):
        auth.apply(change)
        with pytest.raises(NotTrusted, match="invalid auth token"):
            callers.principal_of(shown)
    auth.apply(AuthCommand(Kind.DISABLE, ()))
    assert callers.principal_of(shown) == NOBODY, "where nobody is asked, nothing is looked at"


def test_switched_off_and_on_all_tokens_have_ended() -> None:
    auth = auth_of()
    callers = Callers(auth, Clock())
    shown = {"token": callers.token_for("ann", auth.users["ann"].serial)}
    auth.apply(AuthCommand(Kind.DISABLE, ()))
    auth.apply(AuthCommand(Kind.ENABLE, (OTHER,)))
    with pytest.raises(NotTrusted):
        callers.principal_of(shown)


def test_a_certificates_name_counts_where_it_is_wanted_and_no_token_is_shown() -> None:
    auth = auth_of()
    named = Callers(auth, Clock(), CallerSettings(by_certificate=True))
    ann, root = (auth.principal_of(name) for name in ("ann", "root"))
    assert named.principal_of({}, "ann") == ann
    assert named.principal_of({}, "nobody") == NOBODY
    shown = {"token": named.token_for("root", auth.users["root"].serial)}
    assert named.principal_of(shown, "ann") == root
    with pytest.raises(NotTrusted):
        named.principal_of({"token": "x"}, "ann")
    assert Callers(auth, Clock()).principal_of({}, "ann") == NOBODY


def test_operators_have_the_role_root() -> None:
    auth = auth_of()
    callers = Callers(auth, Clock())
    callers.demand_root(auth.principal_of("root"))
    callers.demand_root(OWN)
    callers.demand_user(auth.principal_of("ann"))
    for principal, why in (
        (auth.principal_of("ann"), "permission denied"),
        (NOBODY, "user name is empty"),
        (of_user("ann", 1), "revision of auth store is old"),
        (of_user("gone", 1), "permission denied"),
    ):
        with pytest.raises(NotAllowed, match=why):
            callers.demand_root(principal)
    with pytest.raises(NotAllowed, match="user name is empty"):
        callers.demand_user(NOBODY)
    auth.apply(AuthCommand(Kind.DISABLE, ()))
    callers.demand_root(NOBODY)


def test_every_call_of_the_api_has_a_rule() -> None:
    """One that is forgotten would be any user's; that is meant for these services only."""
    users = {"KV", "Lease", "Lock", "Election", "Watch"}
    open_to_all = {"Auth/Authenticate", "Cluster/MemberList"}
    known = {path.rpartition(".")[2] for path in PATHS}
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            call = f"{service.name}/{method.name}"
            assert call in known, "the gateway has it"
            who = door.who_may(call)
            if call in open_to_all:
                assert who is door.Who.ANYBODY
            elif service.name not in users:
                looks_itself = call in ("Auth/UserGet", "Auth/RoleGet")
                assert who is (door.Who.ANYBODY if looks_itself else door.Who.ROOT), call
    assert calls.wire_name("Auth") == "etcdserverpb.Auth"


# --- passwords ----------------------------------------------------------------------------------


def test_a_hash_is_made_and_compared_off_the_loops_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a quarter of a second here; the loop goes on all the while."""
    seen: set[str] = set()
    slow = passwords._hash

    def watched(password: str, cost: int, block: int, lanes: int, salt: bytes) -> bytes:
        seen.add(threading.current_thread().name)
        time.sleep(0.25)
        return slow(password, 1, 1, 1, salt)

    monkeypatch.setattr(passwords, "_hash", watched)

    async def main() -> None:
        pool, loop = Passwords(), asyncio.get_running_loop()
        longest, before = 0.0, loop.time()

        async def tick() -> None:
            nonlocal longest, before
            while True:
                await asyncio.sleep(0.005)
                longest, before = max(longest, loop.time() - before), loop.time()

        ticking = asyncio.ensure_future(tick())
        hash = await pool.make("secret", "")
        assert not await pool.matches("secret", b"", "")
        assert hash
        ticking.cancel()
        pool.close()
        assert longest < 0.2

    asyncio.run(main())
    assert len(seen) == 1
    assert next(iter(seen)).startswith("raft-password")


def test_a_hash_fits_its_password_only() -> None:
    hash = passwords.make("secret", b"s" * passwords.SALT_BYTES)
    assert b"secret" not in hash
    assert passwords.matches("secret", hash)
    assert not passwords.matches("Secret", hash)
    assert passwords.make("secret", b"t" * passwords.SALT_BYTES)[4:] != hash[4:]
    for bad in (b"", hash[:-1], b"\x02" + hash[1:], hash[:1] + b"\x40" + hash[2:]):
        assert not passwords.matches("secret", bad)


# --- the audit ----------------------------------------------------------------------------------


def test_who_is_refused_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    audit = Audit(lambda: now)
    with caplog.at_level(logging.INFO, "raftd.audit"):
        for _ in range(1000):
            audit.refused("KV/Put", of_user("ann", 1), "ipv4:1", "permission denied")
        assert len(caplog.records) == BURST
        now += 1.0
        for _ in range(100):
            audit.refused("Admin/Transfer", NOBODY, "ipv4:1", "user name is empty")
    assert len(caplog.records) == BURST + LINES_PER_SECOND
    told = caplog.records[int(BURST)]
    assert vars(told)["left_out"] == str(1000 - int(BURST))
    assert vars(told)["user"] == "-"


def test_who_is_refused_hides_nothing_that_is_done(caplog: pytest.LogCaptureFixture) -> None:
    """Logins with a wrong password kept the lines of an operator's calls out of the log."""
    audit = Audit(lambda: 0.0)
    with caplog.at_level(logging.INFO, "raftd.audit"):
        for _ in range(1000):
            audit.refused("Auth/Authenticate", NOBODY, "ipv4:1", "authentication failed")
        for _ in range(1000):
            audit.done("Auth/UserAdd", of_user("root", 1), "ipv4:1")
    done = [record for record in caplog.records if vars(record)["call"] == "Auth/UserAdd"]
    assert len(done) == BURST, "and they have a limit, too"


def test_a_users_name_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "raftd.audit"):
        Audit(lambda: 0.0).refused("KV/Put", of_user("a\nb\x1b[2J", 1), "ipv4:1", "no")
    assert caplog.records[0].getMessage().isprintable()
    assert vars(caplog.records[0])["user"].isprintable()
