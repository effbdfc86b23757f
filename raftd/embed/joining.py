"""Joining a cluster that runs: which one it is, and asking it to take this node in."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

from raftd.client import Client, NotAllowed, RaftdError
from raftd.client.delivery.nodes import Places, places_at
from raftd.client.settings import Options
from raftd.config import Config
from raftd.quiet import QuietLog

LOG = logging.getLogger("raftd.node")

ASK_SECONDS = 2.0
FIND_SECONDS = 30.0
"""For anybody of `join` to answer: the nodes may be starting, too."""
AGAIN_SECONDS = 0.5
TELL_SECONDS = 60.0
"""Between two lines of a kind about why this node is not let in: it may wait for a night."""


class CannotJoin(Exception):
    """There is no cluster to join. One line."""


class NobodyAnswers(CannotJoin):
    """None of the nodes to join answers. They may later."""


def cluster_to_join(config: Config) -> str:
    """The id of the cluster that the nodes of `join` belong to. Blocks. Raises CannotJoin."""
    deadline, told = time.monotonic() + FIND_SECONDS, False
    with Client(config.join, **_options(config)) as client:
        while True:
            answers = client.ask_each(places_at, timeout=ASK_SECONDS).values()
            found = {each.cluster_id for each in answers if isinstance(each, Places)}
            if len(found) == 1:
                return found.pop()
            if found:
                raise CannotJoin(f"join: {config.join} are of {len(found)} different clusters")
            why = "; ".join(str(each) for each in answers)
            if time.monotonic() >= deadline:
                raise NobodyAnswers(f"join: nobody answers at {config.join}: {why}")
            if not told:
                told = True
                LOG.warning("join: nobody answers yet, asking for %g s: %s", FIND_SECONDS, why)
            time.sleep(AGAIN_SECONDS)


class Joining:
    """Thread raft-join: asks to be added until this node is in for good, then ends."""

    def __init__(self, config: Config, is_in: Callable[[], bool]) -> None:
        """is_in: whether the node knows that the entry that adds it is committed; any thread."""
        self._config = config
        self._is_in = is_in
        self._stop = threading.Event()
        self._client = Client(config.join, **_options(config))
        self._thread = threading.Thread(target=self._run, name="raft-join", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns soon: a question that is under way is not waited for."""
        self._stop.set()
        self._client.close()
        self._thread.join(ASK_SECONDS)

    def _run(self) -> None:
        config, quiet = self._config, QuietLog(LOG)
        own = config.peers[config.id]
        with self._client as client:
            while not self._is_in() and not self._stop.is_set():
                try:
                    client.change_member("add", config.id, own.peer, own.client)
                except RaftdError as error:
                    alike = re.sub(r"\d+", "0", str(error))  # the seconds that it waited, say
                    again = quiet.again(alike, TELL_SECONDS)
                    if again is not None and not self._stop.is_set():
                        line = f"{error}{_next(error, config)}{again}"
                        LOG.warning("join: not let in yet: %s", line)
                self._stop.wait(AGAIN_SECONDS)


def _next(error: RaftdError, config: Config) -> str:
    """Where users are switched on a node has no name to ask under: an operator asks for it."""
    if not isinstance(error, NotAllowed):
        return ""
    peer = config.peers[config.id].peer
    return f"; as an operator: raftctl member add {config.id} --peer {peer}"


def _options(config: Config) -> Options:
    return {
        "timeout": ASK_SECONDS,
        "ca": config.client_ca,
        "cert": config.client_cert if config.client_ca else "",
        "key": config.client_key if config.client_ca else "",
    }
