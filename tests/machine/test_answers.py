"""What a machine answers is bytes; anything else stops the node, and is named."""

from __future__ import annotations

from typing import Any

import pytest

from raftd.machine.protocol import MachineFailure
from raftd.machine.sessions import Sessions
from tests.machine.test_sessions import Journal, Node


@pytest.mark.parametrize("in_session", [True, False])
@pytest.mark.parametrize(("answer", "kind"), [(7, "int"), ("seven", "str"), (None, "NoneType")])
def test_an_answer_that_is_not_bytes_is_named(in_session: bool, answer: Any, kind: str) -> None:
    """It was told as what Python raised over it: "object of type 'int' has no len()"."""

    class Chatty(Journal):
        def apply(self, command: bytes) -> bytes:
            return answer if command == b"b" else b"fine"

    node = Node()
    node.sessions = Sessions(Chatty())
    session = node.open() if in_session else b""
    with pytest.raises(MachineFailure, match=f"apply answered {kind}, expected bytes") as caught:
        node.send(session, 0, (1, b"a"), (2, b"b"))
    assert "command 1 of 2" in str(caught.value)
