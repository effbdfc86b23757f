"""The settings of the state machine and of elections.

The second part of the table of settings (settings.py), behind place.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from raftd.config.kinds import COUNT, DURATION, FLAG, MACHINE, PATH, SIZE
from raftd.config.place import Place
from raftd.config.row import setting
from raftd.core.types import Settings as CoreSettings
from raftd.machine.kv.retention import Keep

_CORE = CoreSettings()
_KEEP = Keep()


# As Place: the methods are those of Config.
@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False, eq=False)
class Elections(Place):
    """See `Config`."""

    machine: str = setting(
        MACHINE,
        "kv",
        "the state machine: the built-in store, or your class; the same on every node",
        group="State machine",
    )
    machine_path: str = setting(
        PATH, "", "directory that holds your module; empty: wherever Python already looks"
    )
    history_bytes: int = setting(
        SIZE,
        _KEEP.bytes,
        "of the built-in store: what was overwritten or deleted is kept, to be read and watched, "
        "up to about this much; then the leader has half of it compacted; 0: no limit",
    )
    history_revisions: int = setting(
        COUNT, _KEEP.revisions, "and no more revisions than about this many; 0: no limit"
    )
    history_age: float = setting(
        DURATION, _KEEP.age_s, "and none that is older than this; 0: no limit"
    )

    quota_bytes: int = setting(
        SIZE,
        0,
        "keys, values and history of the built-in store may have this much; beyond it an alarm "
        "refuses what grows; deletes, compaction and reads go on; 0: no limit",
    )
    heartbeat_interval: float = setting(
        DURATION,
        _CORE.heartbeat_interval,
        "how often an idle leader speaks; a tenth of the election timeout",
        low=0.005,
        high=10,
        group="Elections",
    )
    election_timeout_min: float = setting(
        DURATION,
        _CORE.election_timeout_min,
        "silence after which a follower suspects its leader; at least 5 heartbeats, and longer "
        "than any pause of disk, collector or scheduler",
        low=0.025,
        high=100,
    )
    election_timeout_max: float = setting(
        DURATION,
        _CORE.election_timeout_max,
        "each wait is drawn between the two, so that followers seldom start together",
        low=0.03,
        high=200,
    )
    candidate_retry_min: float = setting(
        DURATION, _CORE.candidate_retry_min, "a candidate without a result tries again", low=0.005
    )
    candidate_retry_max: float = setting(
        DURATION, _CORE.candidate_retry_max, "after a wait drawn between these two", low=0.005
    )
    prevote: bool = setting(
        FLAG, _CORE.prevote, "ask before campaigning: a node that was cut off deposes nobody"
    )
    check_quorum: bool = setting(
        FLAG, _CORE.check_quorum, "a leader that hears no majority steps down"
    )
    concede: bool = setting(
        FLAG, _CORE.concede, "a candidate gives up once refusals make a majority impossible"
    )
    self_vote_last: bool = setting(
        FLAG, _CORE.self_vote_last, "ask the others first, vote for oneself when that decides it"
    )
    link_lost_stagger_max: float = setting(
        DURATION,
        _CORE.link_lost_stagger_max,
        "spread of the pre-votes after the leader's sockets closed",
    )
    hello_retry: float = setting(
        DURATION, _CORE.hello_retry, "how often to greet a peer not yet known", low=0.01
    )
