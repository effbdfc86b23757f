"""Digesting the applied state wherever all members do (core/agreement.py), and what follows.

The machine freezes its state at the mark, between two entries; it is hashed on raft-digest, a chunk
at a time, with rests as long as the work between: so it costs half a core while it runs, and
nothing on the way of a command. The core is told what it took, and a leader spaces the marks by
that. A node that is told that its state differs refuses whatever clients ask, takes no snapshot (a
restart would begin with it), and should not lead.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator

from raftd.core.agreement import SHARE
from raftd.core.comparing import Mark, StateDigest, Verdict
from raftd.node.apply_jobs import Parts
from raftd.node.driver import CoreDriver
from raftd.node.health import Ailment
from raftd.node.job_worker import JobWorker
from raftd.node.ports import FatalPort

log = logging.getLogger(__name__)

DIGEST_BYTES = 16
PARTS_MAX = 64
NAME_MAX = 64
WORK_SECONDS = 0.001
RESTS = 1
REST_SECONDS_MAX = 0.25
GIVEN_UP_TOLD = 3
"""Digests in a row that were not whole before the next one was due. A change of leaders gives up
one; so many mean that nobody compares the state of this node, which looks well all the same.
"""


class StateDigests:
    """Network thread, except where a docstring says otherwise."""

    def __init__(
        self, driver: CoreDriver, fatal: FatalPort, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        """cpu: seconds of a processor that the calling thread has had."""
        self.cpu = cpu
        self._driver = driver
        self._core = driver.core
        self._newest: Mark | None = None
        self._given_up = 0  # in a row; raft-digest only
        self._tries_at = 0.0  # after one that was given up; raft-digest only
        self.jobs = JobWorker("raft-digest", fatal)

    def begin(self, mark: Mark, parts: Parts) -> None:
        """The state as it is at `mark`. Thread: the machine's owner."""
        self._newest = mark  # an older one that is under way is given up
        self.jobs.put(lambda: self._digest(mark, parts))

    def _digest(self, mark: Mark, parts: Parts) -> None:
        """Thread: raft-digest."""
        found: list[tuple[str, bytes]] = []
        begun = rested = self._driver.clock.now()
        worked = self.cpu()
        if self._given_up >= GIVEN_UP_TOLD and begun < self._tries_at:
            return
        for name, chunks in parts:
            whole = hashlib.sha256()  # twice as quick as blake2b where the processor knows it
            try:
                for chunk in chunks:
                    whole.update(chunk)
                    if self.jobs.stopping:
                        return
                    if mark is not self._newest:
                        self._overtaken(mark, begun, self.cpu() - worked)
                        return
                    rested = self._rest(rested)
            except OSError as error:  # a machine's own files: as for a snapshot, another time
                log.warning("the state at entry %d is not digested: %s", mark.index, error)
                return
            found.append((_tellable(name), whole.digest()[:DIGEST_BYTES]))
        self._given_up = 0
        digest = StateDigest(mark, tuple(found[:PARTS_MAX]))
        work_seconds = self.cpu() - worked
        self._driver.post(lambda: self._digested(digest, work_seconds))

    def _overtaken(self, mark: Mark, begun: float, work_seconds: float) -> None:
        """Thread: raft-digest. Said once, until a digest is whole again.

        What is in vain costs as much: after so many it is tried as seldom as if it came about.
        """
        now = self._driver.clock.now()
        self._given_up += 1
        self._tries_at = now + work_seconds / SHARE
        if self._given_up == GIVEN_UP_TOLD:
            log.warning(
                "the state is not compared with the other members': %d digests in a row were not "
                "whole when the next was due, that at entry %d after %.0f s; a smaller state or a "
                "faster machine is needed",
                GIVEN_UP_TOLD,
                mark.index,
                now - begun,
            )

    def _rest(self, since: float) -> float:
        """Thread: raft-digest. Returns when its last rest ended."""
        self.jobs.moved()
        worked = self._driver.clock.now() - since
        if worked < WORK_SECONDS:
            return since
        self.jobs.pause(min(RESTS * worked, REST_SECONDS_MAX))
        return self._driver.clock.now()

    def _digested(self, digest: StateDigest, work_seconds: float) -> None:
        if not self._driver.stopped:
            self._driver.enter(lambda now: self._core.digested(digest, now, work_seconds))

    # -- what follows --

    def refusal(self) -> str:
        """Why this node serves nothing; empty when it may. Any thread."""
        verdict = self._core.verdict
        what = verdict.about(self._core.identity.node) if verdict.differing else ""
        return self._text(verdict, what) if what else ""

    def _text(self, verdict: Verdict, what: str) -> str:
        return (
            f"the applied state differs from the other members' at entry {verdict.index}, in "
            f"{what}: nothing is served here; start this node again, so that it reads its state "
            f"anew, and replace it if it differs still (docs/operations.md)"
        )

    def ailments(self) -> Iterator[Ailment]:
        """Any thread."""
        verdict, own = self._core.verdict, self._core.identity.node
        for node, what in verdict.differing:
            if node == own:
                yield Ailment(self._text(verdict, what), unready=True, unfit=True)
            else:
                where = f"at entry {verdict.index}, in {what}"
                yield Ailment(f"the applied state of {node} differs {where}: it serves nothing")


def _tellable(name: str) -> str:
    """A machine may call a part what it likes; peers take one short printable line. What is
    printable beyond ASCII depends on the Python that looks: a node on an older one would refuse
    heartbeats that tell of the part, and with them its leader.
    """
    known = (each if each.isascii() and each.isprintable() else "?" for each in name[:NAME_MAX])
    return "".join(known)
