"""How a connection sees its streams, so that neither file needs the other."""

from __future__ import annotations

from typing import Protocol

from raftd.h2.engine import Headers


class OnConnection(Protocol):
    """A stream, as its connection sees it."""

    @property
    def id(self) -> int: ...

    def headers(self, headers: Headers, end: bool) -> None: ...

    def trailers(self, headers: Headers) -> None: ...

    def received(self, data: bytes, end: bool) -> None: ...

    def writable(self) -> None: ...

    def reset_by_peer(self, code: int) -> None: ...

    def refused(self, why: str) -> None: ...

    def closed(self, code: int) -> None: ...

    def lost(self, why: str) -> None: ...
