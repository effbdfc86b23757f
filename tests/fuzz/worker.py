"""One target under atheris, in a process of its own, for libFuzzer never returns: see __main__.py.

python -m tests.fuzz.worker TARGET [libFuzzer's own arguments]
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import atheris

SPARE_BYTES = 512 << 20
"""Address space beyond what the process has when it starts: a length that is believed before it is
checked ends in a MemoryError."""


def main() -> None:
    with atheris.instrument_imports(include=["raftd"], exclude=["raftd._pb"]):
        from tests.fuzz.target import attempt
        from tests.fuzz.targets import ALL
    target = ALL[sys.argv[1]]
    executions = 0

    def once(data: bytes) -> None:
        nonlocal executions
        executions += 1
        try:
            attempt(target, data)
        except BaseException:
            sys.stderr.write(f"finding at execution {executions}\n")
            raise

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
