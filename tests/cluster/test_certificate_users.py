"""A client's certificate says who the user is: on either transport, where the node is told so."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

from raftd.client import Client, NotAllowed
from raftd.client.settings import Options
from raftd.tls.certs import Authority
from raftd.wire import auth
from tests.cluster.conftest import MakeCluster

pytestmark = [pytest.mark.cluster, pytest.mark.long]


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
def test_the_name_in_the_certificate_is_the_user(
    make_cluster: MakeCluster, tmp_path: Path, transport: str
) -> None:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    home = tmp_path / "tls"
    authority = Authority.make(home, now)
    for user in ("root", "alice", "stranger"):
        authority.client(home, user, now, day)
    cluster = make_cluster(
        1,
        {
            "transport": transport,
            "client_cert": "node.crt",
            "client_key": "node.key",
            "client_ca": "ca.crt",
            "client_cert_auth": "true",
        },
    )
    (node,) = cluster.nodes
    authority.node(home, node.id, ["127.0.0.1"], now, day)
    for end in ("key", "crt"):
        shutil.copy2(home / f"{node.id}.{end}", node.directory / f"node.{end}")
    shutil.copy2(home / "ca.crt", node.directory / "ca.crt")
    cluster.start()

    def client(user: str) -> Client:
        files: Options = {"ca": str(home / "ca.crt"), "timeout": 20}
        files["cert"], files["key"] = str(home / f"{user}.crt"), str(home / f"{user}.key")
        return cluster.client(None, **files)

    kind, write = auth.Kind, bytes((auth.Access.READWRITE,))
    with client("root") as root, client("alice") as alice, client("stranger") as stranger:
        for command in (
            auth.encode_auth(kind.USER_ADD, b"root", b""),
            auth.encode_auth(kind.USER_GRANT, b"root", b"root"),
            auth.encode_auth(kind.USER_ADD, b"alice", b""),
            auth.encode_auth(kind.ROLE_ADD, b"some"),
            auth.encode_auth(kind.ROLE_GRANT, b"some", write, b"a", b"b"),
            auth.encode_auth(kind.USER_GRANT, b"alice", b"some"),
            auth.encode_auth(kind.ENABLE, bytes(auth.SECRET_BYTES)),
        ):
            root.submit(command)
        alice.put("a1", "1")
        root.put("c", "1")
        assert root.status().admitted
        with pytest.raises(NotAllowed, match="permission denied"):
            alice.put("c", "1")
        with pytest.raises(NotAllowed, match="permission denied"):
            alice.status()
        with pytest.raises(NotAllowed, match="user name is empty"):
            stranger.get("a1")
