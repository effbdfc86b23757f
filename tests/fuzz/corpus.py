"""Inputs that are kept: seeds are made anew each time, the rest are files beside this one.

A file that the fuzzer chose has a name of hex digits and may be replaced by the next choice; one
that once broke something is called found-... and stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.target import Target

CORPUS = Path(__file__).with_name("corpus")
TARGET_BYTES_MAX = 5 << 10
"""What the chosen inputs of one target may have in all; twenty targets make 100 KiB."""


def kept_files(target: Target) -> list[Path]:
    directory = CORPUS / target.name
    return sorted(directory.iterdir()) if directory.is_dir() else []


def inputs(target: Target) -> list[bytes]:
    """Seeds, and what is kept."""
    return [*target.seeds, *(path.read_bytes() for path in kept_files(target))]


def replace_chosen(target: Target, chosen: Iterable[bytes]) -> int:
    """Write the chosen ones but the seeds; returns how many bytes."""
    for path in kept_files(target):
        if not path.name.startswith("found-"):
            path.unlink()
    directory = CORPUS / target.name
    directory.mkdir(parents=True, exist_ok=True)
    kept = {path.read_bytes() for path in kept_files(target)} | set(target.seeds)
    written = 0
    for data in chosen:
        if data not in kept:
            written += len(data)
            name = hashlib.sha256(data).hexdigest()[:12]
            (directory / name).write_bytes(data)
    return written
