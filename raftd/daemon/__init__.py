"""The daemon: the one place where all rooms meet, and the only one that ends the process."""

from raftd.daemon.process import serve

__all__ = ["serve"]
