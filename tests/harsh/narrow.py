"""A narrow line between two nodes: so many bytes a second, shared fairly, and cut on request."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.cluster import Cluster
from harness.nodes import Node

PIECE_BYTES = 16 << 10
"""What one connection may send before another has its turn."""


@dataclass
class Line:
    """One direction of calls: whoever `source` is, it reaches `target_port` here. All connections
    over it share `rate_bytes` a second in each direction; 0 is no limit.
    """

    target_port: int
    rate_bytes: float = 0.0
    port: int = 0
    carried_bytes: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    back_turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Lines:
    """Any number of lines on one thread. Methods: the test's thread. `close` ends all."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()

    def add(self, target_port: int) -> Line:
        line = Line(target_port)
        asyncio.run_coroutine_threadsafe(self._listen(line), self._loop).result(10)
        return line

    def cut(self, *lines: Line) -> None:
        """Every connection ends with a reset, also in the middle of a message."""
        done = threading.Event()

        def act() -> None:
            for line in lines:
                for writer in line.writers:
                    writer.transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(10)

    def close(self) -> None:
        async def cancel_all() -> None:
            for server in self._servers:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self, line: Line) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(line, reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._servers.append(server)
        line.port = server.sockets[0].getsockname()[1]

    async def _carry(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", line.target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        line.writers |= both
        ways = [
            asyncio.ensure_future(self._pump(line, line.turn, reader, far_writer, True)),
            asyncio.ensure_future(self._pump(line, line.back_turn, far_reader, writer, False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for each in both:
                each.transport.abort()
            line.writers -= both

    async def _pump(
        self,
        line: Line,
        turn: asyncio.Lock,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        counted: bool,
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(PIECE_BYTES):
                if line.rate_bytes:
                    async with turn:
                        await asyncio.sleep(len(data) / line.rate_bytes)
                if counted:
                    line.carried_bytes += len(data)
                writer.write(data)
                await writer.drain()


def connect(cluster: Cluster, lines: Lines, settings: Mapping[str, str]) -> dict[str, Line]:
    """Give every ordered pair of nodes a line of its own: "n1>n2" is where n1 calls n2."""
    made: dict[str, Line] = {}
    for source in cluster.nodes:
        peers = ""
        for target in cluster.nodes:
            port = target.ports.peer
            if source is not target:
                line = made[f"{source.id}>{target.id}"] = lines.add(port)
                port = line.port
            peers += f"  {target.id}: {{peer: 127.0.0.1:{port}, client: {target.client_address}}}\n"
        _configure(source, peers, settings)
    return made


def _configure(node: Node, peers: str, settings: Mapping[str, str]) -> None:
    values = {
        "id": node.id,
        "data_dir": "data",
        "cluster_token": "narrow",
        "log_format": "json",
        "listen_peer": f"127.0.0.1:{node.ports.peer}",
        "listen_client": node.client_address,
        "listen_admin": f"127.0.0.1:{node.ports.admin}",
        **settings,
    }
    text = "".join(f"{key}: {value}\n" for key, value in values.items())
    node.config_path.write_text(f"{text}peers:\n{peers}")
