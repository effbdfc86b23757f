"""A bug in a query is the caller's answer: it changes nothing, so the node goes on."""

from __future__ import annotations

from typing import Any, cast

import pytest

from raftd.machine.protocol import StateMachine
from raftd.machine.sessions import Sessions
from raftd.wire import batch as wire
from tests.machine.answered import answered


class Sloppy:
    quick = True

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def query(self, request: bytes) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [None, "text", 7, bytearray(b"x")])
def test_an_answer_that_is_not_bytes_is_an_error_of_the_query(answer: object) -> None:
    sessions = Sessions(cast("StateMachine", Sloppy(answer)))
    status, message = answered(sessions.query(b""))
    assert status == wire.MACHINE_ERROR
    assert f"it answered {type(answer).__name__}, not bytes" in message.decode()
    wire.encode_results([(status, message)])


def test_bytes_are_an_answer() -> None:
    sessions = Sessions(cast("StateMachine", Sloppy(b"x")))
    assert answered(sessions.query(b"")) == (wire.OK, b"x")
