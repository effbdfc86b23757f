"""The one error of every decoder in this package."""

from __future__ import annotations


class WireError(ValueError):
    """These bytes are not what they should be. One line: which field, what it is, its limit."""
