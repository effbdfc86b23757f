"""Some modules run on both transports, the others on raftd/h2."""

from __future__ import annotations

import pytest

from raftd.rpc.plumbing.ports import GRPCIO, H2
from tests.rpc import fakes

ON_BOTH = ("test_peers", "test_hostile", "test_unread", "test_silent_lines")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH:
        metafunc.fixturenames.append("transport")
        metafunc.parametrize("transport", (H2, GRPCIO), indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "transport", request.param)
