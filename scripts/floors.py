"""The oldest dependencies that pyproject.toml allows, one constraint of pip's a line.

`make floors` runs tests with them: a floor that nobody has tried is a guess.
"""

from __future__ import annotations

import re
import sys
import tomllib

from harness.nodes import ROOT

FLOOR = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:>=|==)\s*([0-9.]+)")


def floors(project: dict[str, dict[str, object]]) -> list[str]:
    """project: what pyproject.toml holds. Raises ValueError on a dependency without a floor."""
    table = project["project"]
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    wanted = [table["dependencies"], *extras.values()]
    found = []
    for requirement in (text for texts in wanted for text in texts):
        floor = FLOOR.match(requirement)
        if floor is None:
            raise ValueError(f"pyproject.toml: {requirement!r} names no oldest version")
        found.append(f"{floor[1]}=={floor[2]}")
    return found


def main() -> int:
    print("\n".join(floors(tomllib.loads((ROOT / "pyproject.toml").read_text()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
