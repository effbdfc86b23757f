"""Errors of the node itself."""

from __future__ import annotations


class NodeStopped(Exception):
    """The node takes no more calls: it was stopped, or it failed and its process is about to
    end.
    """
