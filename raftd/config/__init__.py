"""Configuration: one table of settings, three sources, every problem a line of its own."""

from raftd.config.kinds import Peer
from raftd.config.load import ConfigError, Loaded, load
from raftd.config.rules import listen_address
from raftd.config.settings import SETTINGS, Config, Setting

__all__ = [
    "SETTINGS",
    "Config",
    "ConfigError",
    "Loaded",
    "Peer",
    "Setting",
    "listen_address",
    "load",
]
