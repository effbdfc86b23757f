"""aetcd against HOST:PORT. A process of its own: its messages clash with those of python3-etcd3.

With a word behind it: as the user that users.py names. It cannot do TLS.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any

import aetcd

from tests.etcd.clients import users


async def main(address: str, secured: str = "") -> None:
    host, _, port = address.partition(":")
    login: Any = {"username": users.NAME, "password": users.PASSWORD} if secured else {}
    async with aetcd.Client(host=host, port=int(port), timeout=20, **login) as client:
        if secured:
            wrong = aetcd.Client(host, int(port), users.NAME, "wrong", timeout=20)
            assert "authentication failed" in await refusal(wrong.connect())
            await wrong.close()
            forbidden = users.FORBIDDEN.encode()
            assert "permission denied" in await refusal(client.put(forbidden, b"1"))
            assert "permission denied" in await refusal(client.get(forbidden))
        else:
            assert (await client.status()).version.startswith("3.")
        await basics(client)
        await leases_and_locks(client)
        await watching(client)
        assert await elected(client, b"me")
        assert not await elected(client, b"other")
        print("done", flush=True)
        said = await asyncio.to_thread(sys.stdin.readline)
        if said.strip() == "killed":
            await after_the_leader(client)
            print("done", flush=True)


async def refusal(call: Awaitable[object]) -> str:
    """How a call fails that has to."""
    try:
        answer = await call
    except aetcd.ClientError as error:
        return str(error)
    raise AssertionError(f"not refused: {answer}")


async def basics(client: Any) -> None:
    await client.put(b"a", b"1")
    assert (await client.get(b"a")).value == b"1"
    assert await client.get(b"nothing") is None
    assert await client.replace(b"a", b"1", b"2")
    done, answers = await client.transaction(
        compare=[client.transactions.value(b"a") == b"2"],
        success=[client.transactions.put(b"c", b"1"), client.transactions.get(b"a")],
        failure=[client.transactions.delete(b"a")],
    )
    assert done, answers
    assert [kv.value for kv in await client.get_prefix(b"a")] == [b"2"]
    assert await client.delete(b"a") is not None


async def leases_and_locks(client: Any) -> None:
    lease = await client.lease(60)
    await client.put(b"leased", b"x", lease)
    assert list(await lease.keys()) == [b"leased"]
    await lease.refresh()
    await lease.revoke()
    assert await client.get(b"leased") is None
    async with client.lock(b"doors", ttl=20) as lock:
        assert await lock.is_acquired()
        assert not await client.lock(b"doors", ttl=20).acquire(timeout=0.2)


async def watching(client: Any) -> None:
    revision = (await client.put(b"w/1", b"1")).header.revision
    await client.put(b"w/2", b"2")
    await client.delete(b"w/1")
    watch = await client.watch_prefix(b"w/", start_revision=revision)
    seen = []
    async for event in watch:
        seen.append((event.kind, event.kv.key))
        if len(seen) == 3:
            break
    await watch.cancel()
    assert seen == [("PUT", b"w/1"), ("PUT", b"w/2"), ("DELETE", b"w/1")], seen


async def elected(client: Any, name: bytes) -> bool:
    """The recipe: whoever makes the key with its lease leads."""
    lease = await client.lease(60)
    done, _ = await client.transaction(
        compare=[client.transactions.create(b"post-asynchronous") == 0],
        success=[client.transactions.put(b"post-asynchronous", name, lease)],
        failure=[],
    )
    return bool(done)


async def after_the_leader(client: Any) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await client.put(b"after", b"1")
                assert (await client.get(b"post-asynchronous")).value == b"me"
                return
            except aetcd.ClientError:
                await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
