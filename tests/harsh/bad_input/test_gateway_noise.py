"""The gateway, at both its ports: messages of any contents, all endings, and a node that lives on.

A task that nobody asks how it ended stops a node (an error of ours must not be swallowed), so an
error that a stranger's request causes has to end in an answer. Once a reset connection, a HEAD or a
negative number in a body did not.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import socket
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from raftd._pb import etcd_pb2
from raftd.rpc.etcd.calls import wire_name
from raftd.rpc.etcd.gateway.routes import PATHS
from tests.etcd.servers import Raftd, raftd_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(120)]

ROUNDS = 6
"""Requests to each path, one in a row of its own: how it is made and ended is drawn."""
NUMBERS = (-(2**63), -(2**31), -1, 0, 1, 2, 13, 99, 2**31, 2**63 - 1, 2**64, 1.5)
ODD_BODIES = (b"", b"1", b"null", b"true", b"1e999999", b"[]", b'{"', b"\xff\xfe", b"[" * 5_000)
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def raftd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raftd]:
    with raftd_cluster(tmp_path_factory.mktemp("gateway")) as made:
        yield made


def drawn(draw: random.Random, kind: Descriptor, depth: int = 3) -> dict[str, Any]:
    """A JSON object with fields of `kind`, some of them out of their range."""
    fields = [field for field in kind.fields if draw.random() < 0.7]
    return {field.name: _value(draw, field, depth) for field in fields}


def _value(draw: random.Random, field: FieldDescriptor, depth: int) -> object:
    if field.is_repeated:
        return [_single(draw, field, depth) for _ in range(draw.randrange(3))]
    return _single(draw, field, depth)


def _single(draw: random.Random, field: FieldDescriptor, depth: int) -> object:
    if field.message_type is not None:
        return drawn(draw, field.message_type, depth - 1) if depth else {}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(draw.randbytes(draw.choice((0, 1, 5, 300)))).decode()
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw.choice(("", "a", "root", "\u20ac", "\0", "x" * 300))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw.random() < 0.5
    number = draw.choice(NUMBERS)
    return str(number) if draw.random() < 0.5 else number


def requests() -> dict[str, Descriptor]:
    """The message that each path takes."""
    return {
        PATHS[path]: method.input_type
        for service in etcd_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if (path := f"/{wire_name(service.name)}/{method.name}") in PATHS
    }


def said(draw: random.Random, path: str, kind: Descriptor) -> bytes:
    """One request, mostly a whole one."""
    body = json.dumps(drawn(draw, kind)).encode()
    if draw.random() < 0.2:
        body = draw.choice(ODD_BODIES)
    verb = draw.choice(("POST",) * 8 + ("HEAD", "GET"))
    length = len(body) + (draw.choice((1, -1)) if draw.random() < 0.1 else 0)
    head = f"{verb} /v3{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    whole = head.encode() + body
    return whole[: draw.randrange(len(whole))] if draw.random() < 0.1 else whole


def end(draw: random.Random, made: socket.socket) -> None:
    """Wait for a part of the answer or not, then reset, close, or say that no more comes."""
    with contextlib.suppress(OSError):
        if draw.random() < 0.7:
            made.settimeout(draw.choice((0.002, 0.05)))
            made.recv(draw.choice((1, 65_536)))
        how = draw.randrange(3)
        if how == 0:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif how == 1:
            made.shutdown(socket.SHUT_WR)
    made.close()


@pytest.mark.parametrize("own_port", [True, False], ids=["gateway", "client-port"])
def test_whatever_is_said_the_node_lives_on(raftd: Raftd, own_port: bool) -> None:
    (node,) = raftd.nodes
    (gateway,) = raftd.gateways if own_port else raftd.addresses
    host, _, port = gateway.rpartition(":")
    asked, pid = requests(), node.pid()
    assert len(asked) == len(PATHS)
    draw = random.Random(20261127)
    for _ in range(ROUNDS):
        for path, kind in asked.items():
            made = socket.create_connection((host, int(port)), 5)
            made.sendall(said(draw, path, kind))
            end(draw, made)
            assert node.pid() == pid, f"ended by a request to {path}: {_last_lines(node.log_path)}"
    with urllib.request.urlopen(f"http://{gateway}/version", timeout=10) as answer:
        assert b"etcdserver" in answer.read()


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text().splitlines()[-3:])
