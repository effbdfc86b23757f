"""`raftd` that says of itself that it is of the time before users and alarms."""

from __future__ import annotations

import sys

from raftd.rpc import server

if __name__ == "__main__":
    vars(server)["PROTOCOL"] = 1
    from raftd.cli.raftd_main import main

    sys.exit(main())
