"""axe-core finds nothing serious on the page, light or dark.

It is looked for where `npm install --prefix .run/npm axe-core` puts it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.nodes import ROOT
from tests.page.browser import Browser, missing
from tests.page.gallery import GALLERY

AXE = ROOT / ".run" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
ABSENT = missing() or (
    "" if AXE.is_file() else "no axe-core: npm install --prefix .run/npm axe-core"
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "all is there"),
]

FIND = """
return axe.run().then((found) => found.violations
  .filter((one) => one.impact === 'serious' || one.impact === 'critical')
  .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).join(' ')}`));
"""


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_serious_keeps_anybody_out(port: int, tmp_path: Path, dark: bool) -> None:
    with Browser(profile=tmp_path, dark=dark) as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.type("#file", str(GALLERY / "figure-7.jsonl"))
        browser.until(lambda: browser.text("#elections"), "the elections of the film")
        browser.run("document.getElementById('next').click()")
        browser.until(lambda: "majority" in browser.text("#explanation"), "the election")
        browser.run(AXE.read_text())
        assert browser.run(FIND) == []
