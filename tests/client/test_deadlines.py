"""A late wake-up leaves no time for another attempt, and the reason of the last one is told."""

from __future__ import annotations

import asyncio
import types
from typing import Any, cast

import pytest

from raftd.client.delivery.context import Context
from raftd.client.delivery.engine import Engine
from raftd.client.delivery.policy import AttemptFailed, Next, Verdict
from raftd.client.errors import Unavailable


@pytest.mark.parametrize(("late", "timeout"), [(1.0, 1.2), (0.0, 0.51)])
@pytest.mark.parametrize("call", ["ask_leader", "execute_once"])
def test_after_a_late_wake_up_the_last_reason_is_told(
    call: str, late: float, timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said `no connection within -0.004 s`, and not that the certificate was refused; and with
    10 ms left it tried once more, so that a change that nobody had done had an unknown outcome.
    """
    now, given = [0.0], list[float]()

    async def overslept(seconds: float) -> None:
        now[0] += seconds + late

    async def pause(*_: object) -> float:
        return 0.5

    async def refused(self: Engine, question: object, address: str, seconds: float) -> Any:
        given.append(seconds)
        raise AttemptFailed(Verdict(Next.ROTATE, True, "the certificate was refused"))

    async def go() -> None:
        made = Engine.__new__(Engine)
        router = types.SimpleNamespace(target=lambda: "a:1")
        context = types.SimpleNamespace(clock=lambda: now[0], router=router, after_failure=pause)
        made.context = cast(Context, context)
        monkeypatch.setattr(Engine, "_ask_once", refused)
        monkeypatch.setattr(asyncio, "sleep", overslept)
        question: Any = types.SimpleNamespace(payload=b"x")
        await getattr(made, call)(question, timeout)

    with pytest.raises(Unavailable, match="certificate was refused"):
        asyncio.run(go())
    assert given == [timeout]
