"""How many files this process may have open."""

from __future__ import annotations

import resource

LIMIT_WANTED = 65_536
"""Every client is an open file; the soft limit is often only 1024."""


def raise_limit() -> None:
    """As far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMIT_WANTED if hard == resource.RLIM_INFINITY else min(hard, LIMIT_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
