"""SIGHUP: read the configuration again, and take over what can change while the node runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, replace

from raftd.config import Config, ConfigError, Loaded

LIVE = frozenset({"log_level"})
"""Settings that a running node takes over. All others need a restart."""

LOG = logging.getLogger("raftd.daemon")


class Reload:
    """Called on the main thread.

    read: loads flags, environment and file as at the start; None: there is nothing to read again.
    """

    def __init__(self, loaded: Loaded, read: Callable[[], Loaded] | None) -> None:
        self._config = loaded.config
        self._read = read

    def __call__(self) -> None:
        """Never raises: a file that is wrong is a line in the log, and nothing changes."""
        if self._read is None:
            LOG.info("SIGHUP: there is no configuration to read again")
            return
        try:
            config = self._read().config
        except ConfigError as error:
            for line in error.lines:
                LOG.error("SIGHUP: nothing is changed: %s", line)
            return
        changed = {
            field.name
            for field in fields(Config)
            if getattr(config, field.name) != getattr(self._config, field.name)
        }
        if config.log_level != self._config.log_level:
            logging.getLogger().setLevel(config.log_level.upper())
        for name in sorted(changed & LIVE):
            LOG.warning("SIGHUP: %s is %s now", name, getattr(config, name))
        for name in sorted(changed - LIVE):
            LOG.warning("SIGHUP: %s has changed, which takes effect at the next start", name)
        if not changed:
            LOG.info("SIGHUP: nothing has changed in the configuration")
        self._config = _with_live(self._config, config)


def _with_live(running: Config, read: Config) -> Config:
    """What is in force now: the next reload is compared with it."""
    return replace(running, **{name: getattr(read, name) for name in LIVE})
