"""etcd3gw, which speaks HTTP only, against a gateway at HOST:PORT.

With a folder of certificates behind it: over TLS, as the user that users.py names.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import etcd3gw
from etcd3gw import exceptions

from tests.etcd.clients import users


def main(address: str, folder: str = "") -> None:
    host, _, port = address.partition(":")
    more: Any = {}
    if folder:
        ends = {"ca_cert": "ca.crt", "cert_cert": "admin.crt", "cert_key": "admin.key"}
        more = {name: f"{folder}/{end}" for name, end in ends.items()} | {"protocol": "https"}
    client: Any = etcd3gw.client(host=host, port=int(port), timeout=20, **more)
    client.session.trust_env = False  # or a variable names other authorities
    if folder:
        logged_in(client)
    else:
        assert client.status()["version"].startswith("3.")
    basics(client)
    leases_and_locks(client)
    watching(client)
    elections(client)
    lease = client.lease(ttl=60)
    print("done", flush=True)
    if sys.stdin.readline().strip() == "killed":
        after_the_leader(client, lease)
        print("done", flush=True)


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def logged_in(client: Any) -> None:
    """It knows no users: the token is ours to get and to show."""

    def login(password: str) -> str:
        fields = {"name": users.NAME, "password": password}
        return str(client.post(client.get_url("/auth/authenticate"), json=fields)["token"])

    assert refusal(lambda: login("wrong")) == (
        "Bad Request",
        "etcdserver: authentication failed, invalid user ID or password",
    )
    assert refusal(lambda: client.put("a", "1"))[1] == "etcdserver: user name is empty"
    client.session.headers["Authorization"] = login(users.PASSWORD)
    denied = "Forbidden", "etcdserver: permission denied"
    assert refusal(lambda: client.put(users.FORBIDDEN, "1")) == denied
    assert refusal(lambda: client.get(users.FORBIDDEN)) == denied


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """How a call fails that has to: the reason of the status, and what is wrong."""
    try:
        answer = call()
    except exceptions.Etcd3Exception as error:
        return str(error), json.loads(error.detail_text or "{}")["error"]
    raise AssertionError(f"not refused: {answer}")


def basics(client: Any) -> None:
    assert client.put("a", "1")
    assert client.get("a") == [b"1"]
    assert client.create("b", "1")
    assert not client.create("b", "2")
    assert client.replace("b", "1", "3")
    compare = {"key": text("b"), "result": "EQUAL", "target": "VALUE", "value": text("3")}
    put = {"request_put": {"key": text("c"), "value": text("1")}}
    done = client.transaction({"compare": [compare], "success": [put], "failure": []})
    assert done["succeeded"]
    assert client.get("c") == [b"1"]
    assert [value for value, _ in client.get_prefix("b")] == [b"3"]
    assert client.delete("b")
    assert [member["name"] for member in client.members()] == ["n1", "n2", "n3"]


def leases_and_locks(client: Any) -> None:
    lease = client.lease(ttl=60)
    client.put("leased", "x", lease=lease)
    assert lease.ttl() > 50
    assert lease.refresh() == 60
    assert lease.keys() == [b"leased"]
    assert lease.revoke()
    assert client.get("leased") == []
    lock = client.lock("doors", ttl=20)
    assert lock.acquire()
    assert not client.lock("doors", ttl=20).acquire()
    assert lock.release()


def watching(client: Any) -> None:
    client.put("w/1", "1")
    revision = int(client.get("w/1", metadata=True)[0][1]["mod_revision"])
    client.put("w/2", "2")
    client.delete("w/1")
    events, cancel = client.watch_prefix("w/", start_revision=revision)
    seen = [(event.get("type"), event["kv"]["key"]) for _, event in zip(range(3), events)]
    cancel()
    assert seen == [(None, b"w/1"), (None, b"w/2"), ("DELETE", b"w/1")], seen


def elections(client: Any) -> None:
    lease = client.lease(ttl=60)
    campaign = {"name": text("post"), "lease": lease.id, "value": text("me")}
    won = client.post(client.get_url("/election/campaign"), json=campaign)
    found = client.post(client.get_url("/election/leader"), json={"name": text("post")})
    assert found["kv"]["value"] == text("me")
    client.post(client.get_url("/election/resign"), json={"leader": won["leader"]})


def after_the_leader(client: Any, lease: Any) -> None:
    """A renewal may fail meanwhile, and never says that the lease is gone."""
    deadline = time.monotonic() + 20
    while True:
        try:
            assert lease.refresh() == 60
            client.put("after", "1")
            assert client.get("after") == [b"1"]
            return
        except exceptions.Etcd3Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
