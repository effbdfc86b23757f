"""`make floors`: each dependency says its oldest version."""

from __future__ import annotations

import tomllib

import pytest

from harness.nodes import ROOT
from scripts.floors import floors


def test_each_dependency_says_its_oldest_version() -> None:
    found = floors(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    assert any(line.startswith("msgspec==") for line in found)
    with pytest.raises(ValueError, match="'h11' names no oldest version"):
        floors({"project": {"dependencies": ["h11"], "optional-dependencies": {}}})
