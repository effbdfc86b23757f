"""Debian's etcdctl prints at raftd what it prints at etcd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.etcd.servers import Raftd, needs_etcdctl, raftd_clusters
from tests.etcd.transcripts import GOLDEN, played

pytestmark = [pytest.mark.cluster, pytest.mark.long, needs_etcdctl]

NAMES = sorted(path.stem for path in GOLDEN.glob("*.txt"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Raftd]]:
    """A member for each transcript, with nothing in it: revisions are those of the transcript."""
    bases = [tmp_path_factory.mktemp(name) for name in NAMES]
    with raftd_clusters(bases) as members:
        yield dict(zip(NAMES, members, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_it_prints_what_it_prints_at_etcd(name: str, fresh: dict[str, Raftd]) -> None:
    recorded = (GOLDEN / f"{name}.txt").read_text()
    assert played(recorded, fresh[name].addresses[0]) == recorded
