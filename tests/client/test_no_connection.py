"""Why a client does not come through to a node is said in the words of what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.ports import free_ports
from raftd.client.delivery.policy import AttemptFailed
from raftd.client.delivery.transport import Transport
from raftd.h2.server import Server
from raftd.h2.settings import ConnectionSettings, ServerLimits
from raftd.tls.certs import Authority
from raftd.tls.contexts import server_context
from raftd.tls.files import TlsFiles
from tests.h2.peers import run
from tests.tls.made import DAY, authority, files_of, node_files, now

SECONDS = 20.0


async def refusal(server: TlsFiles | None, client: TlsFiles | None) -> str:
    """Of a client with these files at a port with those; None: no TLS."""
    port = Server(ServerLimits(connection=ConnectionSettings()))
    if server is None:
        number = port.add_insecure_port("127.0.0.1:0")
    else:
        number = port.add_secure_port("127.0.0.1:0", server_context(server))
    await port.start()
    try:
        return await asked(number, client)
    finally:
        await port.stop(0)


async def asked(number: int, client: TlsFiles | None) -> str:
    pool = Transport(client, kind="h2")
    try:
        with pytest.raises(AttemptFailed) as refused:
            await pool.reach(f"127.0.0.1:{number}", SECONDS)
        return refused.value.verdict.message
    finally:
        await pool.close()


def test_what_is_wrong_with_the_nodes_certificate(tmp_path: Path) -> None:
    authority(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    authority(other)
    Authority.load(tmp_path).node(tmp_path, "far", ["db9.example"], now(), DAY)
    good = node_files(tmp_path, "n1")
    client = TlsFiles("", ca=good.ca)

    async def main() -> None:
        for files, words in (
            (node_files(tmp_path, "old", life=-DAY), "certificate has expired; renew it"),
            (node_files(other, "x"), "not signed by the authority"),
            (files_of(tmp_path, "far"), "certificate is for another host"),
            (None, "the node speaks no TLS there"),
        ):
            plain = None if files is None else replace(files, ca="")
            said = await refusal(plain, client)
            assert said.startswith("cannot connect: ")
            assert words in said

    run(main())


def test_what_nobody_tells_is_asked(tmp_path: Path) -> None:
    authority(tmp_path)
    files = node_files(tmp_path, "n1")

    async def main() -> None:
        assert "does it not ask for TLS?" in await refusal(files, None)
        ours = TlsFiles("", ca=files.ca)
        assert "does it ask for one of ours?" in await refusal(files, ours)
        (free,) = free_ports(1)
        assert "cannot connect: nothing listens there" in await asked(free, None)

    run(main())
