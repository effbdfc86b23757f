"""A client's settings, checked once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from random import Random
from typing import Any, TypedDict

from raftd.client.endpoints import parse_endpoints
from raftd.client.errors import Invalid
from raftd.h2.ngh2_engine import available
from raftd.tls.contexts import client_context
from raftd.tls.files import TlsFiles, TlsProblem

LOG = logging.getLogger("raftd.client")

Clock = Callable[[], float]
TRANSPORTS = ("grpcio", "h2")
preferred = ""
"""What carries gRPC where a client names no transport: h2 where it can be had, unless a test has
chosen here.
"""
TLS_FILES = ("ca", "cert", "key")
LOGIN = ("user", "password")
TIMEOUT_MAX = threading.TIMEOUT_MAX
"""Seconds that a lock can wait."""


class Options(TypedDict, total=False):
    """What `Client` and `AsyncClient` take by keyword; `Settings` has the defaults."""

    timeout: float
    attempt_timeout: float
    connect_timeout: float
    queue_commands_max: int
    queue_bytes_max: int
    clock: Clock
    random: Random
    ca: str
    cert: str
    key: str
    transport: str
    user: str
    password: str


@cache
def quickest() -> str:
    """h2, or grpcio and one line about it."""
    if available():
        return "h2"
    LOG.info("the package ngh2 cannot be loaded: transport grpcio is used")
    return "grpcio"


@dataclass(frozen=True, slots=True)
class Settings:
    """All times in seconds.

    timeout: for calls that name none. attempt_timeout: without an answer for so long, another node
    is tried (the retry is exactly-once). connect_timeout: for one connection. queue_*: what may
    wait in the client before callers are held back. clock: monotonic, any thread. random: for
    back-off and the first endpoint; None: seeded by the system.

    ca: PEM file of the authority that signs the nodes' certificates; with it the connections are
    TLS. cert, key: the client's own certificate, where the nodes ask for one. Files that have
    changed count for connections made afterwards.

    user, password: who this is, where the cluster asks (docs/security.md); both empty: nobody, or
    whom the certificate names.

    transport: what carries gRPC, "h2" (in the client's own loop, by the package ngh2; the default
    where that can be loaded) or "grpcio"; the nodes need not agree.
    """

    endpoints: tuple[str, ...]
    timeout: float = 5.0
    attempt_timeout: float = 1.0
    connect_timeout: float = 0.5
    queue_commands_max: int = 65_536
    queue_bytes_max: int = 64 << 20
    clock: Clock = time.monotonic
    random: Random | None = None
    ca: str = ""
    cert: str = ""
    key: str = ""
    transport: str = field(default_factory=lambda: preferred or quickest())
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def tls(self) -> TlsFiles | None:
        """None: plain text."""
        return TlsFiles("", self.cert, self.key, self.ca) if self.ca else None


def checked_settings(endpoints: str | Sequence[str], options: Options) -> Settings:
    """Raises Invalid, naming the setting and what it may be; TypeError for one that is unknown."""
    settings = Settings(tuple(parse_endpoints(endpoints)), **options)
    for one in fields(Settings):
        value: Any = getattr(settings, one.name)
        if one.name in ("endpoints", "clock", "random", "transport", *TLS_FILES, *LOGIN):
            continue
        if not isinstance(value, int | float) or not 0 < value <= TIMEOUT_MAX:
            text = f"expected a number above 0, {TIMEOUT_MAX:.0f} at most"
            raise Invalid(f"{one.name} {value!r}: {text}")
    if settings.transport not in TRANSPORTS:
        raise Invalid(f"transport {settings.transport!r}: expected {' or '.join(TRANSPORTS)}")
    if settings.transport == "h2" and not available():
        raise Invalid("transport h2 needs the package ngh2: pip install ngh2, or use grpcio")
    if settings.password and not settings.user:
        raise Invalid("password is set without user: expected both")
    _check_tls(settings)
    return settings


def _check_tls(settings: Settings) -> None:
    if bool(settings.cert) != bool(settings.key):
        raise Invalid("cert, key: expected both, or neither")
    if settings.cert and not settings.ca:
        raise Invalid("cert is set without ca: expected the file of the nodes' authority, too")
    if settings.tls is not None:
        try:
            client_context(settings.tls)
        except TlsProblem as problem:
            raise Invalid(str(problem)) from None
