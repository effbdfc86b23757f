"""python3-etcd3 against HOST:PORT. A process of its own: its messages clash with those of aetcd.

With a folder of certificates behind it: over TLS, as the user that users.py names.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import etcd3
import grpc

from tests.etcd.clients import users


def main(address: str, folder: str = "") -> None:
    host, _, port = address.partition(":")

    def made(user: str, password: str) -> Any:
        login = {"user": user, "password": password}
        ends = {"ca_cert": "ca.crt", "cert_cert": "admin.crt", "cert_key": "admin.key"}
        tls = {name: f"{folder}/{end}" for name, end in ends.items()}
        more: Any = {**login, **tls} if folder else {}
        return etcd3.client(host=host, port=int(port), timeout=20, **more)

    client = made(users.NAME, users.PASSWORD)
    if folder:
        assert "authentication failed" in refusal(lambda: made(users.NAME, "wrong"))
        assert "permission denied" in refusal(lambda: client.put(users.FORBIDDEN, "1"))
        assert "permission denied" in refusal(lambda: client.get(users.FORBIDDEN))
    else:
        assert client.status().version.startswith("3.")
    basics(client)
    leases_and_locks(client)
    watching(client)
    if not elected(client, b"me"):
        raise AssertionError("nobody else stood")
    print("done", flush=True)
    if sys.stdin.readline().strip() == "killed":
        after_the_leader(client)
        print("done", flush=True)


def refusal(call: Callable[[], object]) -> str:
    """How a call fails that has to."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return str(error)
    raise AssertionError(f"not refused: {answer}")


def basics(client: Any) -> None:
    client.put("a", "1")
    assert client.get("a")[0] == b"1"
    assert client.get("nothing") == (None, None)
    assert client.put_if_not_exists("b", "1")
    assert not client.put_if_not_exists("b", "2")
    assert client.replace("b", "1", "3")
    done, answers = client.transaction(
        compare=[client.transactions.value("b") == "3"],
        success=[client.transactions.put("c", "1"), client.transactions.get("b")],
        failure=[client.transactions.delete("b")],
    )
    assert done
    assert answers[1][0][0] == b"3"
    assert [value for value, _ in client.get_prefix("b")] == [b"3"]
    assert client.delete("b")
    assert [member.name for member in client.members] == ["n1", "n2", "n3"]


def leases_and_locks(client: Any) -> None:
    lease = client.lease(60)
    client.put("leased", "x", lease)
    assert client.get_lease_info(lease.id).keys == [b"leased"]
    assert next(iter(lease.refresh())).TTL == 60
    lease.revoke()
    assert client.get("leased") == (None, None)
    with client.lock("doors", ttl=20) as lock:
        assert lock.is_acquired()
        assert not client.lock("doors", ttl=20).acquire(timeout=0)


def watching(client: Any) -> None:
    revision = client.put("w/1", "1").header.revision
    client.put("w/2", "2")
    client.delete("w/1")
    events, cancel = client.watch_prefix("w/", start_revision=revision)
    seen = [(type(event).__name__, event.key, event.value) for _, event in zip(range(3), events)]
    cancel()
    assert seen == [
        ("PutEvent", b"w/1", b"1"),
        ("PutEvent", b"w/2", b"2"),
        ("DeleteEvent", b"w/1", b""),
    ], seen


def elected(client: Any, name: bytes) -> bool:
    """The recipe: whoever makes the key with its lease leads."""
    lease = client.lease(60)
    done, _ = client.transaction(
        compare=[client.transactions.create("post-blocking") == 0],
        success=[client.transactions.put("post-blocking", name, lease)],
        failure=[],
    )
    return bool(done)


def after_the_leader(client: Any) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.put("after", "1")
            assert client.get("after")[0] == b"1"
            assert client.get("post-blocking")[0] == b"me"
            return
        except etcd3.exceptions.Etcd3Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
