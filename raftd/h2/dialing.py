"""Connecting to one of several addresses: the next is tried before the first has given up.

A host with an IPv6 address that leads nowhere would otherwise cost a whole connect time-out each
time (RFC 8305, Happy Eyeballs).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from raftd.names import numbers_of

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)

STAGGER_SECONDS = 0.25


class Security(NamedTuple):
    """context: for TLS, None for plain text. server_name: what the certificate must be for.

    optional: with whoever speaks no TLS yet, plain text.
    """

    context: ssl.SSLContext | None
    server_name: str
    optional: bool = False


def addresses_of(target: str) -> list[str]:
    """A target's `host:port`s, or its one `unix:path`; families take turns."""
    if target.startswith("unix:"):
        return [target]
    numbers = numbers_of(target)
    six = [number for number in numbers if number.startswith("[")]
    four = [number for number in numbers if not number.startswith("[")]
    mixed: list[str] = []
    for pair in zip(six, four):
        mixed.extend(pair)
    shorter = min(len(six), len(four))
    return [*mixed, *six[shorter:], *four[shorter:]]


def authority_of(target: str) -> str:
    """What to ask a server for by default: gRPC's word for a Unix socket, or the first address."""
    return "localhost:0" if target.startswith("unix:") else addresses_of(target)[0]


async def connect(
    addresses: Sequence[str],
    make: Callable[[], ProtocolT],
    security: Security,
) -> ProtocolT:
    """The first connection that stands. Raises OSError, the last of the reasons.

    The caller limits the time.
    """
    loop = asyncio.get_running_loop()
    attempts: set[asyncio.Task[ProtocolT]] = set()
    waiting = list(addresses)
    error: BaseException = OSError("no address")
    try:
        while waiting or attempts:
            if waiting:
                address = waiting.pop(0)
                attempts.add(loop.create_task(_connect(address, make, security)))
            done, attempts = await asyncio.wait(
                attempts,
                timeout=STAGGER_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            made: ProtocolT | None = None
            for task in done:  # all of them: what nobody hears of would stop the node
                failed = task.exception()
                if failed is not None:
                    error = failed
                elif made is None:
                    made = task.result()
                else:
                    _let_go(task)
            if made is not None:
                return made
        raise error
    finally:
        for task in attempts:
            task.add_done_callback(_let_go)
            task.cancel()
        if attempts:
            await asyncio.wait(attempts)  # their sockets close


async def _connect(address: str, make: Callable[[], ProtocolT], security: Security) -> ProtocolT:
    try:
        return await _connect_once(address, make, security.context, security.server_name)
    except OSError as error:
        if not (security.optional and security.context is not None and speaks_no_tls(error)):
            raise
    return await _connect_once(address, make, None, "")


def speaks_no_tls(error: OSError) -> bool:
    """Whether a handshake ended so because the other side is in plain text.

    A certificate that is refused, by either side, is no reason to say the same without one.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    if isinstance(error, ssl.SSLError):
        return "ALERT" not in (error.reason or "")  # only TLS has alerts
    return isinstance(error, ConnectionResetError | ConnectionAbortedError)


async def _connect_once(
    address: str, make: Callable[[], ProtocolT], context: ssl.SSLContext | None, server_name: str
) -> ProtocolT:
    loop = asyncio.get_running_loop()
    name = server_name if context is not None else None
    if name is not None:
        _check_name(name)
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        _, protocol = await loop.create_unix_connection(
            make, path, ssl=context, server_hostname=name
        )
        return protocol
    host, _, port = address.rpartition(":")
    _, protocol = await loop.create_connection(
        make, host.strip("[]"), int(port), ssl=context, server_hostname=name
    )
    return protocol


def _check_name(name: str) -> None:
    """Raises OSError. ssl would raise another error, and the loop log a stack at each attempt."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise OSError(f"no certificate can be for {name[:80]!r}: not a DNS name") from None


def _let_go(task: asyncio.Task[ProtocolT]) -> None:
    """One that came too late."""
    if task.cancelled() or task.exception() is not None:
        return
    abort = getattr(task.result(), "abort", None)
    if abort is not None:
        abort("another address was quicker")
