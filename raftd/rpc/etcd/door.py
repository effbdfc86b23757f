"""Who may make which call: the door before every method of the etcd API.

What a caller may do to keys is checked where commands are applied and queries answered, on the
state of that moment. Here is found out who calls, and checked what has nothing to do with keys.
Network thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from raftd.rpc.clients.audit import Audit
from raftd.rpc.clients.callers import Callers, NotAllowed, NotTrusted
from raftd.rpc.etcd import calls
from raftd.rpc.etcd.calls import Caller, Conversation, Method
from raftd.rpc.etcd.faults import FAULTS, Code, Fault, fault, refused_here
from raftd.rpc.etcd.translate import refused
from raftd.wire.refusals import BEHIND, RESTORING


class Who(Enum):
    """Who may make a call, where auth is on."""

    ANYBODY = "anybody"
    USER = "any user"
    ROOT = "who has the role root"


UNASKED: Final = frozenset(("Auth/Authenticate", "Cluster/MemberList"))
"""Calls of whoever has no token, or one that has served its time: a client has to find the members
before it can log in, and to log in."""
OPEN: Final = UNASKED | {"Auth/UserGet", "Auth/RoleGet", "Watch/Watch"}
"""Calls that nobody is turned away from here; the others of these look by themselves."""
LOOKS: Final = frozenset(
    f"{service}/{call}"
    for service, names in {
        "Auth": ("AuthStatus", "UserList", "RoleList"),
        "Maintenance": ("Status", "Hash", "HashKV"),
    }.items()
    for call in names
)
"""Calls of operators that change nothing: in the audit only where auth is on."""
OPERATORS: Final = ("Auth/", "Cluster/", "Maintenance/")
_DENIED: Final = frozenset(
    FAULTS[name][1]
    for name in (
        "user_empty", "auth_failed", "permission_denied", "invalid_token", "old_auth_revision",
    )
)  # fmt: skip


LOOK_SECONDS: Final = 0.05
LOOKS_MAX: Final = 40
"""For so long a call waits until this node can tell who calls."""


def who_may(call: str) -> Who:
    """call: as in OPEN."""
    if call in OPEN:
        return Who.ANYBODY
    return Who.ROOT if call.startswith(OPERATORS) else Who.USER


class _Watched:
    """A stream whose caller may lose while it is open what let them in."""

    def __init__(self, talk: Conversation, demand: Callable[[], None]) -> None:
        """demand: raises Fault for whoever may not make this call any more."""
        self.caller = talk.caller
        self.receive = talk.receive
        self._send = talk.send
        self._demand = demand

    async def send(self, answer: Any) -> None:
        self._demand()
        await self._send(answer)


class Door:
    def __init__(self, callers: Callers, audit: Audit) -> None:
        self._callers = callers
        self._audit = audit

    def methods(self, services: Iterable[object]) -> Iterator[Method]:
        """The RPCs of `services`, each behind the door."""
        for method in calls.methods(services):
            yield replace(method, unary=self._unary(method), streaming=self._streaming(method))

    def _unary(self, method: Method) -> calls.Unary | None:
        handle, call = method.unary, _call(method)
        if handle is None:
            return None
        who, told = who_may(call), call.startswith(OPERATORS) and call not in OPEN
        always = told and call not in LOOKS

        async def checked(request: Any, caller: Caller) -> Any:
            known = caller
            try:
                if call not in UNASKED:
                    await self._caught_up(who)
                    known = self._known(caller)
                self._demand(who, known)
                answer = await handle(request, known)
            except Fault as error:
                self._denied(call, known, error)
                raise
            if told:
                self._audit.done(call, known.principal, known.peer)
            return answer

        def quick(request: Any, caller: Caller) -> Awaitable[Any]:
            """Where auth is off, and the call is no operator's, the door is not there."""
            return checked(request, caller) if self._callers.asked else handle(request, caller)

        return checked if always else quick

    def _streaming(self, method: Method) -> calls.Streaming | None:
        handle, call = method.streaming, _call(method)
        if handle is None:
            return None
        who = who_may(call)

        async def checked(talk: Conversation) -> None:
            try:
                await self._caught_up(who)
                talk.caller = self._known(talk.caller)
                self._demand(who, talk.caller)
                if who is Who.ROOT:
                    self._audit.done(call, talk.caller.principal, talk.caller.peer)
                await handle(_Watched(talk, lambda: self._demand(who, talk.caller)))
            except Fault as error:
                self._denied(call, talk.caller, error)
                raise

        return checked

    async def _caught_up(self, who: Who) -> None:
        """A node that has just started soon follows a leader: callers need not hear of it. Raises
        Fault.
        """
        callers = self._callers
        for _ in range(LOOKS_MAX):
            if not callers.behind and not (who is Who.ROOT and callers.restoring):
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise refused_here(BEHIND if callers.behind else RESTORING)

    def _known(self, caller: Caller) -> Caller:
        if not self._callers.asked:
            return caller
        try:
            principal = self._callers.principal_of(caller.metadata, caller.common_name)
        except NotTrusted:
            raise fault("invalid_token") from None
        return replace(caller, principal=principal)

    def _demand(self, who: Who, caller: Caller) -> None:
        try:
            if who is Who.ROOT:
                self._callers.demand_root(caller.principal)
            elif who is Who.USER:
                self._callers.demand_user(caller.principal)
        except NotAllowed as error:
            raise refused(str(error).encode()) from None

    def _denied(self, call: str, caller: Caller, error: Fault) -> None:
        text = error.text.removeprefix("etcdserver: ")
        if text in _DENIED or error.code in (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
            self._audit.refused(call, caller.principal, caller.peer, text)


def _call(method: Method) -> str:
    """`KV/Put` of `/etcdserverpb.KV/Put`."""
    return method.path.rpartition(".")[2]
