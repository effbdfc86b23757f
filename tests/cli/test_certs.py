"""`raftd certs`: what it makes is what a node takes, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftd.cli.raftd_main import main
from raftd.tls.contexts import Tls
from raftd.tls.files import TlsProblem
from raftd.tls.names import common_name
from tests.tls.made import files_of


def test_an_authority_a_node_a_client_and_a_revocation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(tmp_path / "tls")
    assert main(["certs", "ca", where]) == 0
    assert main(["certs", "node", where, "n1", "--host", "db1.example", "--valid", "48h"]) == 0
    assert main(["certs", "client", where, "alice"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"{where}/ca.crt", f"{where}/ca.key"]
    names = Tls(files_of(tmp_path / "tls", "n1"), node="n1").certificate["subjectAltName"]
    assert ("DNS", "db1.example") in names
    assert ("IP Address", "127.0.0.1") in names
    assert common_name(Tls(files_of(tmp_path / "tls", "alice")).certificate) == "alice"
    assert main(["certs", "revoke", where, "n1"]) == 0
    revoked = files_of(tmp_path / "tls", "n1")
    with pytest.raises(TlsProblem, match="has been revoked"):
        Tls(
            type(revoked)(revoked.prefix, revoked.cert, revoked.key, revoked.ca, f"{where}/ca.crl"),
            "n1",
        )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["node", "{}", "n1"], "No such file or directory; `raftd certs ca` makes one"),
        (["revoke", "{}", "n1"], "`raftd certs ca` makes one"),
        (["node", "{}", "n 1"], "expected a node id"),
        (["node", "{}", "n1", "--valid", "soon"], "expected a duration"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    try:
        code = main(["certs", *[word.format(tmp_path) for word in words]])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
