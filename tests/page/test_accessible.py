"""axe-core finds nothing serious on the page, light or dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page import axe
from tests.page.browser import Browser, missing
from tests.page.gallery import GALLERY

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a browser"),
]

FIND = """
return axe.run().then((found) => found.violations
  .filter((one) => one.impact === 'serious' || one.impact === 'critical')
  .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).join(' ')}`));
"""

BACK = "return getComputedStyle(document.body).backgroundColor"


def test_nothing_serious_keeps_anybody_out(port: int, tmp_path: Path) -> None:
    script = axe.script()
    with Browser(profile=tmp_path) as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.type("#file", str(GALLERY / "figure-7.jsonl"))
        browser.until(lambda: browser.text("#elections"), "the elections of the film")
        browser.run("document.getElementById('next').click()")
        browser.until(lambda: "majority" in browser.text("#explanation"), "the election")
        browser.run(script)
        backs = set()
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            assert browser.run(FIND) == [], scheme
            backs.add(browser.run(BACK))
        assert len(backs) == 2, "light and dark are not the same"
