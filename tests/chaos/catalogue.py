"""All faults by name, those that cannot be done here, and what a cluster needs for some of them."""

from __future__ import annotations

from tests.chaos import disk_faults, member_faults, silences
from tests.chaos.disk_faults import Misbehaved
from tests.chaos.faults import FAULTS

NAMES = "silent-names"
"""Its nodes have names, and run in mount namespaces."""
HANGS = "hung-machine"
"""Every other node has a machine that can hang."""


def missing() -> dict[str, str]:
    """Faults that cannot be done here, and why."""
    return disk_faults.missing() | silences.missing()


OPERATORS = member_faults.NAMES


__all__ = ["FAULTS", "HANGS", "NAMES", "OPERATORS", "Misbehaved", "missing"]
