"""Connections that do not speak our language: garbage, HTTP/1, TLS, half a greeting, bad bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from raftd._pb import admin_pb2, client_pb2, etcd_pb2, raft_pb2
from raftd.rpc.etcd.calls import wire_name
from tests.harsh.bad_input.conftest import Live, failure, lines

pytestmark = pytest.mark.cluster

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NOISE: dict[str, bytes] = {
    "zeros": bytes(300),
    "every-byte": bytes(range(256)) * 4,
    "random": random.Random(7).randbytes(5_000),
    "http1-get": b"GET /metrics HTTP/1.1\r\nHost: raftd\r\n\r\n",
    "http1-post": b"POST /etcdserverpb.KV/Put HTTP/1.1\r\nContent-Length: 9999\r\n\r\n{}",
    "half-preface": PREFACE[:11],
    "preface-only": PREFACE,
    "preface-and-garbage": PREFACE + random.Random(8).randbytes(2_000),
    "huge-frame": PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(2_000),
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
}
EACH = 5
"""Connections of each kind to each port of each node."""

MALFORMED = {
    "truncated": b"\x0a\xff\xff\x7f",
    "cut-off": b"\x0a\x05ab",
    "end-of-nothing": b"\x0c",
    "endless-varint": b"\x08" + b"\xff" * 30,
}
"""No message of ours parses from these, whatever its fields."""


def ports(live: Live, which: str) -> list[int]:
    return [getattr(node.ports, which) for node in live.nodes]


@pytest.mark.parametrize("which", ["peer", "client", "admin"])
def test_noise(live: Live, which: str) -> None:
    """Whatever it is, others are served meanwhile. Some connections stay open to the end."""
    for kind, noise in NOISE.items():
        with contextlib.ExitStack() as opened:
            for port in ports(live, which):
                for _ in range(EACH):
                    made = opened.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                    with contextlib.suppress(OSError):
                        made.sendall(noise)
            live.works()
            assert live.is_as_it_was(), kind


@pytest.mark.parametrize("which", ["peer", "client"])
def test_tls_hello(live: Live, which: str) -> None:
    """A client that expects TLS learns at once that there is none; it does not hang."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for port in ports(live, which):
        for _ in range(5):
            plain = socket.create_connection(("127.0.0.1", port), 5)
            with plain, pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(plain, server_hostname="raftd")


def test_grpc_over_tls(live: Live) -> None:
    with grpc.secure_channel(live.leader.client_address, grpc.ssl_channel_credentials()) as to:
        get: Any = to.unary_unary("/raftd.client.v1.Commands/Query")
        with pytest.raises(grpc.RpcError) as caught:
            get(b"", timeout=2)
        assert failure(caught.value)[0] in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )


def methods() -> list[tuple[str, MethodDescriptor]]:
    """(which port, method) of everything that we serve."""
    found: list[tuple[str, MethodDescriptor]] = []
    files = (client_pb2, "client"), (admin_pb2, "client"), (etcd_pb2, "client"), (raft_pb2, "peer")
    for file, which in files:
        for service in file.DESCRIPTOR.services_by_name.values():
            found.extend((which, method) for method in service.methods)
    return found


def path_of(method: MethodDescriptor) -> str:
    """etcd's methods go by other names on the wire than in our .proto."""
    service = method.containing_service
    ours = service.file.name != etcd_pb2.DESCRIPTOR.name
    return f"/{service.full_name if ours else wire_name(service.name)}/{method.name}"


def call(to: Any, method: MethodDescriptor, data: bytes) -> Callable[[], object]:
    path = path_of(method)
    if method.client_streaming:
        return lambda: list(to.stream_stream(path)(iter([data]), timeout=5))
    if method.server_streaming:
        return lambda: list(to.unary_stream(path)(data, timeout=5))
    return lambda: to.unary_unary(path)(data, timeout=5)


@pytest.mark.parametrize("which", ["peer", "client"])
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_protobuf(live: Live, which: str, data: bytes) -> None:
    """Every method that the port serves refuses it in one line."""
    port = getattr(live.leader.ports, which)
    refusals = (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as to:
        for method in (method for served, method in methods() if served == which):
            with pytest.raises(grpc.RpcError) as caught:
                call(to, method, data)()
            code, details = failure(caught.value)
            assert code in refusals, (method.full_name, code, details)
            assert details, method.full_name


def test_metadata_beyond_the_limit(live: Live) -> None:
    with grpc.insecure_channel(live.leader.client_address) as to:
        get: Any = to.unary_unary("/raftd.client.v1.Commands/Query")
        with pytest.raises(grpc.RpcError) as caught:
            get(b"", metadata=(("x-padding", "p" * 40_000),), timeout=5)
        assert failure(caught.value)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_logs_are_not_flooded(live: Live) -> None:
    for node in live.nodes:
        warned = [line["msg"] for line in lines(node.log_path) if line["level"] != "info"]
        assert len(warned) < 400, f"{node.id}: {len(warned)} lines, the last: {warned[-3:]}"
