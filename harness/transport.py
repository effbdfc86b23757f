"""One transport for a whole run, so that the same tests prove both.

TEST_TRANSPORT=h2 or =grpcio: nodes that are configured here, and clients that name no
transport. Not set: every program uses its own default. raftctl as a process always does; so with
the transport that is not the default a run mixes both.
"""

from __future__ import annotations

import os

from raftd.client import settings

VARIABLE = "TEST_TRANSPORT"
WANTED = os.environ.get(VARIABLE, "")


def node_settings() -> dict[str, str]:
    """For node.yaml."""
    return {"transport": WANTED} if WANTED else {}


def choose_for_clients() -> None:
    """Those of this process that are made from now on and name none. Raises SystemExit."""
    if WANTED:
        if WANTED not in settings.TRANSPORTS:
            expected = " or ".join(settings.TRANSPORTS)
            raise SystemExit(f"{VARIABLE}={WANTED}: expected {expected}")
        settings.preferred = WANTED
