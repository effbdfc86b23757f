"""Scripts as files: blocks of commands, `----`, expected output, an empty line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.core.commands import Script

SCRIPTS = Path(__file__).parent / "scripts"
RULE = "----"


@dataclass(slots=True)
class Block:
    """Comments and commands as they stand, and the output below the rule."""

    commands: list[str]
    output: list[str]


def parse(text: str) -> list[Block]:
    """Raises ValueError for a block without a rule."""
    blocks: list[Block] = []
    for part in text.strip("\n").split("\n\n"):
        lines = part.split("\n")
        if RULE in lines:
            at = lines.index(RULE)
            blocks.append(Block(lines[:at], lines[at + 1 :]))
        elif all(line.startswith("#") for line in lines):
            blocks.append(Block(lines, []))
        else:
            raise ValueError(f"a block without {RULE}: {lines[0]}")
    return blocks


def play(blocks: list[Block]) -> list[Block]:
    """The same commands with the output that they give now."""
    env = Script()
    played = []
    for block in blocks:
        env.out = []
        for line in block.commands:
            if not line.startswith("#"):
                env.run(line)
        played.append(Block(block.commands, env.out))
    return played


def render(blocks: list[Block]) -> str:
    parts = []
    for block in blocks:
        only_comment = all(line.startswith("#") for line in block.commands)
        parts.append(
            "\n".join(block.commands if only_comment else [*block.commands, RULE, *block.output])
        )
    return "\n\n".join(parts) + "\n"
