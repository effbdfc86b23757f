"""Who calls: tokens and client certificates, held against the users in the replicated state.

Network thread only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from raftd.machine.kv.auth import Auth
from raftd.machine.protocol import MachineError
from raftd.rpc.clients.replaying import Replaying
from raftd.rpc.clients.tokens import Tokens
from raftd.wire.principal import NOBODY, of_user
from raftd.wire.refusals import BEHIND

INVALID_TOKEN = "invalid auth token"
TTL_SECONDS = 300.0


@runtime_checkable
class HasAuth(Protocol):
    """A state machine with users: the built-in store."""

    @property
    def auth(self) -> Auth: ...


def auth_of(machine: object) -> Auth | None:
    """Its users, if it has any notion of them."""
    return machine.auth if isinstance(machine, HasAuth) else None


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """token_ttl: seconds for which a token serves that nobody uses. by_certificate: the common name
    of a client's certificate is its user's name, where it shows no token.
    """

    token_ttl: float = TTL_SECONDS
    by_certificate: bool = False


class NotTrusted(Exception):
    """A token that is none, or not any more. One line."""


class NotYet(Exception):
    """This node cannot tell yet who may do what. One line."""


class NotAllowed(Exception):
    """Not what this caller may do. One line, one of wire.refusals."""


class Callers:
    """Who may call what. Without a store with users everybody may do everything."""

    def __init__(
        self,
        auth: Auth | None = None,
        epoch_ms: Callable[[], int] = lambda: 0,
        settings: CallerSettings | None = None,
        replaying: Replaying | None = None,
    ) -> None:
        """epoch_ms: this node's clock, milliseconds since the epoch. replaying: None: never."""
        settings = settings or CallerSettings()
        self._auth = auth or Auth()
        self._replaying = replaying
        self._by_certificate = settings.by_certificate
        self._tokens = Tokens(epoch_ms, int(settings.token_ttl * 1000), secrets.token_bytes)

    @property
    def behind(self) -> bool:
        """Is it too early to tell who may do what? See replaying.py."""
        return self._replaying is not None and self._replaying.behind

    @property
    def restoring(self) -> bool:
        """Is it too early to tell who is an operator?"""
        return self._replaying is not None and self._replaying.restoring

    @property
    def perhaps_asked(self) -> bool:
        """Is auth off as far as this node knows, and does it not know all yet?"""
        replaying = self._replaying
        if replaying is None or self._auth.enabled or replaying.holds_changes:
            return False
        return replaying.behind

    @property
    def asked(self) -> bool:
        """Is anybody asked who they are? False while auth is off."""
        return self._auth.enabled or self.behind

    @property
    def revision(self) -> int:
        """It moves when somebody's rights may have changed."""
        if self.behind:
            return -1
        return self._auth.revision if self._auth.enabled else 0

    def principal_of(self, metadata: Mapping[str, str], common_name: str = "") -> bytes:
        """As in wire.principal; NOBODY also while auth is off. metadata: keys in lower case.

        common_name: of the client's certificate, if it showed one. Raises NotTrusted, NotYet.
        """
        auth = self._auth
        if self.behind:
            raise NotYet(BEHIND)
        if not auth.enabled:
            return NOBODY
        text = metadata.get("token", "") or metadata.get("authorization", "")
        if text:
            token = self._tokens.read(auth.secret, text)
            user = None if token is None else auth.users.get(token.name)
            if token is None or user is None or user.serial != token.serial:
                raise NotTrusted(INVALID_TOKEN)
            return of_user(token.name, user.serial)
        user = auth.users.get(common_name) if self._by_certificate else None
        return NOBODY if user is None else of_user(common_name, user.serial)

    def of(self, context: Any) -> bytes:
        """The principal of a gRPC call. Raises NotTrusted, NotYet."""
        if not self.asked:
            return NOBODY
        return self.principal_of(text_metadata(context), self.common_name(context))

    def common_name(self, context: Any) -> str:
        """Of the certificate of a gRPC call's client; empty where it does not count."""
        if not self._by_certificate or not self._auth.enabled:
            return ""
        names = context.auth_context().get("x509_common_name", ())
        return names[0].decode("utf-8", "replace") if names else ""

    def demand_root(self, principal: bytes) -> None:
        """Raises NotAllowed unless it has the role root, or nobody is asked."""
        try:
            rights = self._auth.rights_of(principal)
        except MachineError as error:
            raise NotAllowed(str(error)) from None
        if not rights.root:
            raise NotAllowed("permission denied")

    def demand_user(self, principal: bytes) -> None:
        """Raises NotAllowed unless it is a user that there is, or nobody is asked."""
        try:
            self._auth.rights_of(principal)
        except MachineError as error:
            raise NotAllowed(str(error)) from None

    def may_read(self, principal: bytes, key: bytes, range_end: bytes) -> str:
        """Why it may not; empty when it may."""
        try:
            rights = self._auth.rights_of(principal)
        except MachineError as error:
            return str(error)
        return "" if rights.may_read(key, range_end) else "permission denied"

    def token_for(self, name: str, serial: int) -> str:
        """A new token for a user who has proved who they are."""
        return self._tokens.issue(self._auth.secret, name, serial)


def text_metadata(context: Any) -> dict[str, str]:
    """What came with a gRPC call, keys in lower case, text values only."""
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


EVERYBODY = Callers()
"""Asks nobody: for machines that know no users."""
