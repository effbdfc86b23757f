"""python -m raftd: the same as the command `raftd`."""

import sys

from raftd.cli.raftd_main import main

if __name__ == "__main__":
    sys.exit(main())
