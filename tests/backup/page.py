"""The transcripts of the page for operators, and what is the same in every run of them."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/backup.md"


def transcript(number: int) -> list[tuple[str, str]]:
    """(command, what it prints), of the page's transcript with this number, from 0."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    steps = [step.partition("\n") for step in blocks[number].split("$ ")[1:]]
    return [(command, printed) for command, _, printed in steps]


def plain(text: str) -> str:
    """Without numbers, ids and directories."""
    text = re.sub(r"restored: \S+ is", "restored: DIR is", text)
    text = re.sub(r"/\S*/(?=[bc]\b)", "DIR/", text)
    return re.sub(r"\b[0-9a-f]{16,}\b|\b[0-9]+\b", "#", text)
