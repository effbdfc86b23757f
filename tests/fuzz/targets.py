"""The table of everything that decodes."""

from __future__ import annotations

from tests.fuzz import (
    of_backups,
    of_files,
    of_http2,
    of_logs,
    of_messages,
    of_store,
    of_texts,
    of_wire,
)
from tests.fuzz.target import Target

ALL: dict[str, Target] = {
    target.name: target
    for target in (
        *of_wire.TARGETS,
        *of_files.TARGETS,
        *of_backups.TARGETS,
        *of_logs.TARGETS,
        *of_messages.TARGETS,
        *of_texts.TARGETS,
        *of_store.TARGETS,
        *of_http2.TARGETS,
    )
}
