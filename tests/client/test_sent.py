"""What programs send to their other processes: errors arrive whole, clients say they cannot."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from types import ModuleType

import pytest

from raftd import embed
from raftd.client import AsyncClient, BulkError, Client, Invalid, NotDone, errors
from raftd.objects import CommandFailed, CommandRefused, Objects

ARGUMENTS = {
    "message": "m",
    "line": "m",
    "endpoint": "h:1",
    "session": 7,
    "seq": 8,
    "oldest": 9,
    "leader": "n2",
    "of_data": True,
    "results": [1, NotDone("x", endpoint="h:2")],
}


def errors_of(module: ModuleType) -> list[type[Exception]]:
    found = (getattr(module, name) for name in dir(module))
    return [one for one in found if inspect.isclass(one) and issubclass(one, Exception)]


ERRORS = {
    f"{one.__module__}.{one.__name__}": one
    for one in [*errors_of(errors), *errors_of(embed), CommandFailed, CommandRefused]
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_arrives_whole(name: str) -> None:
    """The story without it: a pool of multiprocessing that could not read a worker's error lost
    its reading thread, and the parent waited for ever.
    """
    made = ERRORS[name]
    plain = vars(made).get("__init__") is None and made.__bases__ == (Exception,)
    parameters = () if plain else inspect.signature(made).parameters.values()
    wanted = [one for one in parameters if one.name in ARGUMENTS]
    positional = [ARGUMENTS[one.name] for one in wanted if one.kind is not one.KEYWORD_ONLY]
    named = {one.name: ARGUMENTS[one.name] for one in wanted if one.kind is one.KEYWORD_ONLY}
    sent = made(*(positional or ["m"]), **named)
    for came in (pickle.loads(pickle.dumps(sent)), copy.copy(sent)):
        assert type(came) is made
        assert str(came) == str(sent) == "m"
        assert vars(came).keys() == vars(sent).keys()
        for field in vars(sent).keys() - {"results"}:
            assert getattr(came, field) == getattr(sent, field)
        if isinstance(came, BulkError):
            assert [came.failed, came.results[0], came.results[1].endpoint] == [1, 1, "h:2"]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_of_which_the_message_arrives_is_of_its_kind(name: str) -> None:
    """Celery's results are JSON, and it makes the error anew of its args: one that wanted more
    came as a bare Exception, which no `except RaftdError` catches.
    """
    made = ERRORS[name]
    came = made(*made("m").args)
    assert (type(came), str(came)) == (made, "m")
    if isinstance(came, BulkError):
        assert came.failed == 0


def test_the_table_has_those_with_fields_of_their_own() -> None:
    names = {name.rsplit(".", 1)[1] for name in ERRORS}
    assert {"BulkError", "Compacted", "OutcomeUnknown", "NotLeader", "CommandRefused"} <= names
    assert issubclass(ERRORS["raftd.client.errors.Invalid"], Invalid)


class Shop(Objects):
    pass


HOLDERS: dict[str, Callable[[], object]] = {
    "Client": lambda: Client("127.0.0.1:1"),
    "AsyncClient": lambda: AsyncClient("127.0.0.1:1"),
    "a lock": lambda: Client("127.0.0.1:1").lock("l"),
    "a watch": lambda: Client("127.0.0.1:1").watch("k"),
    "objects": lambda: Shop.connect("127.0.0.1:1"),
}


@pytest.mark.parametrize("what", HOLDERS)
def test_a_client_that_is_sent_says_what_to_do(what: str) -> None:
    """As an argument under spawn, or of a celery task. The story without it: "cannot pickle
    '_thread.lock' object", and nothing about a client.
    """
    for send in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="send its endpoints, and make a client there"):
            send(HOLDERS[what]())
