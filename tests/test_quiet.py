"""Errors that nobody declared, which a stranger has found: told with a stack, and then counted."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from raftd import logs
from raftd.admin.server import AdminServer
from raftd.admin.vitals import Vitals
from raftd.embed.failing import Failing, SayIt
from raftd.quiet import KEYS_MAX, QuietLog, hush_grpc
from raftd.rpc.etcd.calls import Method
from raftd.rpc.etcd.gateway import gateway
from tests.h2.peers import channel_to, run, serving

CALLS = 30


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def elsewhere(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def stacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info]


def test_one_from_the_same_place_is_counted_whatever_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [100.0]
    quiet = QuietLog(logging.getLogger("raftd.test"), lambda: now[0])
    for number in range(CALLS):
        quiet.error("/m", raised(ValueError(f"of a stranger: {number}")))
    quiet.error("/m", raised(KeyError("another type")))
    quiet.error("/m", elsewhere(ValueError("another place")))
    quiet.error("/other", raised(ValueError("another method")))
    now[0] += 61.0
    quiet.error("/m", raised(ValueError("again")))
    again = f"/m ({CALLS - 1} more like it since)"
    assert stacks(caplog) == ["/m", "/m", "/m", "/other", again]


def test_what_is_remembered_has_a_limit() -> None:
    quiet = QuietLog(logging.getLogger("raftd.test.silent"), lambda: 100.0)
    for number in range(3 * KEYS_MAX):
        quiet.again(number, 60.0)
    assert len(quiet._said) <= KEYS_MAX


@pytest.mark.parametrize("kind", ["h2", "grpcio"])
def test_a_method_of_grpc(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    hush_grpc()

    async def main() -> None:
        async with serving(kind) as (address, _, _), channel_to(kind, address) as channel:
            for _ in range(CALLS):
                call = channel.unary_unary("/test.Interop/Broken")(b"", timeout=10)
                assert (await call.code()).name == "UNKNOWN"

    run(main())
    [told] = stacks(caplog)
    assert "/test.Interop/Broken" in told


def test_a_method_of_the_gateway(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_QUIET", QuietLog(logging.getLogger("raftd.test")))
    method = Method("/etcdserverpb.KV/Range", object, object)
    for _ in range(CALLS):
        assert gateway._undeclared(method, raised(ValueError("x"))).code.name == "UNKNOWN"
    assert len(stacks(caplog)) == 1


def test_a_path_of_the_admin_port(caplog: pytest.LogCaptureFixture) -> None:
    def failing() -> list[str]:
        raise ZeroDivisionError

    vitals = Vitals(time.monotonic, beat=time.monotonic())
    admin = AdminServer("127.0.0.1", 0, vitals, list)
    admin._routes["/readyz"] = lambda _: failing()  # type: ignore[assignment,return-value]
    admin.start()
    try:
        for _ in range(CALLS):
            with socket.create_connection(("127.0.0.1", admin.port), 10) as one:
                one.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
                assert one.recv(100).startswith(b"HTTP/1.1 500 ")
    finally:
        admin.stop()
    assert stacks(caplog) == ["/readyz failed"]


def test_what_the_loop_of_the_network_thread_would_only_print(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = Failing(SayIt(), lambda: None)
    loop = asyncio.new_event_loop()
    for number in range(CALLS):
        message = f"Exception in callback <Handle at 0x{number:x}>"
        failing.loop_error(loop, {"message": message, "exception": raised(OSError("x"))})
    loop.close()
    assert len(stacks(caplog)) == 1


def test_a_stack_in_the_log_has_a_limit() -> None:
    """The words of an error may be a caller's two megabytes."""
    error = raised(KeyError("x" * (1 << 21)))
    record = logging.makeLogRecord({"msg": "m", "exc_info": (type(error), error, None)})
    record.__dict__["context"] = ("n1", 1, "leader")
    for formatter in (logs.JsonFormatter(), logs.ConsoleFormatter()):
        line = formatter.format(record)
        assert len(line) < 2 * logs.STACK_CHARS_MAX
        assert "KeyError" in line
