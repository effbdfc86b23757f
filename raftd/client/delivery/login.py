"""Who the client is: a token for its user and password, shown with every call.

The token is asked for when the first connection stands, and again when a node says that it does not
count any more. Everything here runs on the client's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from grpc import aio

from raftd._pb import client_pb2
from raftd._pb import etcd_pb2 as pb
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict, judge_rpc
from raftd.wire.refusals import believes_nobody_yet

METHOD = "/etcdserverpb.Auth/Authenticate"
LOGIN_SECONDS = 5.0
"""A node hashes the password, which is slow on purpose, and does so for one caller at a time."""
NO_NEED = "none"
"""Shown where nobody is asked who they are: no token, so whoever asks later will say so."""
_ASKS_NOBODY = frozenset((grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNIMPLEMENTED))


class Login:
    """Of one client. A token serves at every node."""

    def __init__(self, user: str, password: str) -> None:
        self._request = pb.AuthenticateRequest(name=user, password=password)
        self._token = ""
        self._asking = asyncio.Lock()

    async def ready(self, channel: aio.Channel) -> None:
        """Have a token. Raises AttemptFailed: the password is wrong, or the node cannot say."""
        if self._token:
            return
        async with self._asking:
            if not self._token:
                self._token = await self._ask(channel)

    async def _ask(self, channel: aio.Channel) -> str:
        ask: aio.UnaryUnaryMultiCallable[pb.AuthenticateRequest, pb.AuthenticateResponse]
        ask = channel.unary_unary(
            METHOD,
            pb.AuthenticateRequest.SerializeToString,
            pb.AuthenticateResponse.FromString,
        )
        try:
            answer = await ask(self._request, timeout=LOGIN_SECONDS)
        except aio.AioRpcError as error:
            if error.code() in _ASKS_NOBODY:
                return NO_NEED
            if believes_nobody_yet(error.details() or ""):
                return ""  # it says so to the call itself, or answers it; the next call asks again
            verdict = judge_rpc(error)._replace(certain=True)
            if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNKNOWN):
                text = f"user {self._request.name!r}: {error.details()}"
                verdict = Verdict(Next.GIVE_UP, True, text, code=client_pb2.PERMISSION_DENIED)
            raise AttemptFailed(verdict) from None
        return answer.token

    def forget(self) -> None:
        """The token does not count any more."""
        self._token = ""

    def showing(self, channel: aio.Channel) -> aio.Channel:
        """The same channel, but calls on it show the token."""
        shown: Any = _Showing(channel, lambda: self._token or NO_NEED)
        same: aio.Channel = shown
        return same


class _Showing:
    def __init__(self, channel: aio.Channel, token: Callable[[], str]) -> None:
        self._channel = channel
        self._token = token

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.unary_stream(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._shown(self._channel.stream_stream(*args, **kwargs))

    def _shown(self, call: Any) -> Any:
        def shown(*args: Any, metadata: Any = (), **kwargs: Any) -> Any:
            return call(*args, metadata=(*metadata, ("token", self._token())), **kwargs)

        return shown
