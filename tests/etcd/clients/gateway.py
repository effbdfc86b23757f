"""etcd3gw, which speaks HTTP only, against a gateway at HOST:PORT."""

from __future__ import annotations

import base64
import sys
import time
from typing import Any

import etcd3gw
from etcd3gw import exceptions


def main(address: str) -> None:
    host, _, port = address.partition(":")
    client: Any = etcd3gw.client(host=host, port=int(port), timeout=20)
    basics(client)
    leases_and_locks(client)
    watching(client)
    elections(client)
    print("done", flush=True)
    if sys.stdin.readline().strip() == "killed":
        after_the_leader(client)
        print("done", flush=True)


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


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
    assert client.status()["version"].startswith("3.")
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


def after_the_leader(client: Any) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.put("after", "1")
            assert client.get("after") == [b"1"]
            return
        except exceptions.Etcd3Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
