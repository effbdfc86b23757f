"""`raftctl record`: a film of a cluster into a file (docs/page.md)."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from argparse import Namespace
from typing import IO

from raftd.cli.raftctl_output import complain

OK = 0
NOT_DONE = 3
SILENT_SECONDS = 5.0
LINE_BYTES_MAX = 1 << 20


def record(args: Namespace, _: object) -> int:
    """Until the time is over, an interrupt, or the end of the node that tells."""
    url = f"http://{args.page}/film/all"
    try:
        with (
            urllib.request.urlopen(url, timeout=SILENT_SECONDS) as film,
            args.file.open("wb") as to,
        ):
            count = _copy(film, to, time.monotonic() + args.seconds)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(LINE_BYTES_MAX).decode(errors="replace").strip()
        complain(f"{args.page} has no film: {said} (is `page: true` set there?)")
        return NOT_DONE
    except (OSError, ValueError) as error:
        complain(f"cannot record {args.page} to {args.file}: {getattr(error, 'reason', error)}")
        return NOT_DONE
    print(f'{count} records in {args.file}; "Play a file" on the page shows them')
    return OK


def _copy(film: IO[bytes], to: IO[bytes], deadline: float) -> int:
    """Returns how many records were copied, the head left out. Raises OSError."""
    count = -1
    try:
        while time.monotonic() < deadline:
            line = film.readline(LINE_BYTES_MAX)
            if not line.endswith(b"\n"):  # the node has ended, perhaps in the middle of a line
                break
            to.write(line)
            count += 1
    except KeyboardInterrupt:
        pass
    if count < 0:
        raise OSError("it said nothing")
    return count
