"""`python -m tests.mit`: what it says of what it is told."""

from __future__ import annotations

import pytest

from tests.mit.__main__ import main


@pytest.mark.parametrize("real", [[], ["--real"]])
def test_a_name_that_no_scenario_has_is_no_pass(
    real: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--only figure8`, for figure_8, ran nothing, said `failed 0` and ended with 0."""
    monkeypatch.setattr("sys.argv", ["tests.mit", "--only", "figure8", *real])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no scenario has 'figure8' in its name" in capsys.readouterr().err
