"""What a node logs is changed while it runs: own loggers only, and back again."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest

from raftd._pb import admin_pb2 as pb
from raftd._pb import admin_pb2_grpc
from tests.rpc.fakes import one_side


def test_a_logger_is_made_to_say_more_and_then_as_before(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with one_side() as one:
            address = f"127.0.0.1:{one.servers.client_port}"
            async with grpc.aio.insecure_channel(address) as channel:
                admin = admin_pb2_grpc.AdminStub(channel)

                async def ask(logger: str, level: str = "") -> str:
                    request = pb.LogLevelRequest(logger=logger, level=level)
                    return (await admin.LogLevel(request, timeout=10)).level

                before = await ask("raftd.rpc")
                assert await ask("raftd.rpc", "debug") == "debug"
                assert logging.getLogger("raftd.rpc").isEnabledFor(logging.DEBUG)
                assert await ask("raftd") == before
                assert await ask("raftd.rpc", "default") == before
                for logger, level in (("root", "debug"), ("raftd.nobody", ""), ("raftd", "loud")):
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await ask(logger, level)
                    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert "raftd.nobody" not in logging.getLogger().manager.loggerDict

    asyncio.run(main())
