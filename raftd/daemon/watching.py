"""What the daemon shows of its node: log lines, and the picture that the HTTP port serves."""

from __future__ import annotations

import logging
from collections.abc import Callable

from raftd import logs
from raftd.admin.vitals import Vitals
from raftd.core.effects import Event
from raftd.core.events import EventKind, Level
from raftd.embed.thread import Look
from raftd.node.repeats import Repeats

LOG = logging.getLogger("raftd.node")

LEVELS = {Level.DETAIL: logging.DEBUG, Level.NEWS: logging.INFO, Level.TROUBLE: logging.WARNING}


class Watching:
    """The node's Observer. Network thread only."""

    def __init__(self, vitals: Vitals, context: logs.Context, removed: Callable[[], None]) -> None:
        """removed: called when the node learns that it is no member any more."""
        self._removed = removed
        self._vitals = vitals
        self._context = context
        self._repeats = Repeats()

    def event(self, event: Event) -> None:
        """Every event is counted; one that is news becomes a log line."""
        self._context.term, self._context.role = event.term, event.role.value
        self._vitals.count(f"event_{event.kind}")
        untold = self._repeats.news(self._vitals.now(), event)
        if untold is not None:
            log_event(event, untold)
        if event.kind is EventKind.REMOVED:
            self._removed()

    def look(self, look: Look) -> None:
        """Shows the other threads that this one lives, and what the node looks like."""
        vitals, signs, state = self._vitals, look.signs, look.state
        vitals.beat = vitals.now()
        vitals.measures = look.measures
        vitals.proposals = signs.proposals_pending, signs.proposals_failed
        vitals.ailments = signs.unready
        vitals.gauges["machine_busy_seconds"] = signs.machine_busy_seconds
        vitals.gauges["disk_trouble"] = float(signs.disk_trouble)
        vitals.gauges["calls_waiting"] = float(look.ports.calls_waiting)
        vitals.gauges["alarms"] = float(look.ports.alarms)
        vitals.gauges["watchers"] = float(look.ports.watchers)
        vitals.gauges.update(signs.queues)
        if look.ports.store_bytes is not None:
            vitals.store_bytes = look.ports.store_bytes, look.ports.quota_bytes
        vitals.disk_free_bytes = signs.disk_free_bytes
        vitals.state = state
        self._context.term, self._context.role = state.term, state.role.value
        vitals.counters.update(
            log_syncs=look.log_syncs,
            log_bytes_written=look.log_bytes_written,
            peer_messages_refused=signs.peer_messages_refused,
            connections_cut=look.ports.connections_cut,
            calls_refused=look.ports.calls_refused,
        )


def log_event(event: Event, untold: int = 0) -> None:
    """untold: how many events of its like were not worth a line since the last one."""
    fields = {"event": str(event.kind), "leader": event.leader or "-"}
    if event.peer is not None:
        fields["peer"] = event.peer
    more = f" ({untold} more like it since the last such line)" if untold else ""
    level, what = LEVELS[event.kind.level], event.kind.replace("_", " ")
    LOG.log(level, "%s: %s%s", what, event.detail, more, extra=fields)
