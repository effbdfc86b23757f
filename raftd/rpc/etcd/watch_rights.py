"""May the caller of a stream watch these keys, now? Network thread only."""

from __future__ import annotations

from raftd.rpc.clients.callers import EVERYBODY, Callers
from raftd.wire.principal import NOBODY
from raftd.wire.refusals import PERMISSION_DENIED

_STATUSES = {PERMISSION_DENIED: "PermissionDenied"}


class WatchRights:
    def __init__(self, callers: Callers = EVERYBODY, principal: bytes = NOBODY) -> None:
        self._callers = callers
        self._principal = principal
        self._seen = callers.revision

    def refusal(self, key: bytes, range_end: bytes) -> str:
        """Why these keys may not be watched, in the words of Go's clients; empty if they may."""
        why = self._callers.may_read(self._principal, key, range_end)
        if not why:
            return ""
        return f"rpc error: code = {_STATUSES.get(why, 'InvalidArgument')} desc = etcdserver: {why}"

    def moved(self) -> bool:
        """Since the last look: may it be that what was allowed is not any more?"""
        seen, self._seen = self._seen, self._callers.revision
        return seen != self._seen
