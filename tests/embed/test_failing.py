"""Which errors that nobody caught stop a node: those of its own code, wherever it is installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import raftd
from raftd.embed.failing import Failing
from tests.embed.test_embed import Watch


@pytest.mark.parametrize(
    ("file", "stops"),
    [
        ("/opt/raftd/lib/python3/packages/grpc/aio/_call.py", False),
        ("/srv/raftd/env/lib/python3/ssl.py", False),
        (str(Path(raftd.__file__).parent / "h2" / "channel.py"), True),
    ],
)
def test_code_of_others_in_a_directory_of_our_name_is_not_ours(file: str, stops: bool) -> None:
    """The image has everything in /opt/raftd: there an error of grpcio's own stopped the node."""
    watch, stopped = Watch(), list[None]()
    failing = Failing(watch, lambda: stopped.append(None))
    loop = asyncio.new_event_loop()
    with pytest.raises(ZeroDivisionError) as told:
        exec(compile("1 / 0", file, "exec"))
    error = told.value
    assert error.__traceback__ is not None
    failing.loop_error(loop, {"message": "m", "exception": error})
    loop.close()
    assert bool(stopped) is bool(watch.fatals) is stops
