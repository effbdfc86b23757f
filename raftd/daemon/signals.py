"""Signals: a stop, which no wait of the start holds up; SIGHUP, which reads the settings again."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from types import FrameType

from raftd.config import Config, ConfigError, Loaded

EXIT_OK = 0
EXIT_INTERRUPTED = 130

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

START_ENDS_SECONDS = 0.5
"""A start that is told to stop has so long to end by itself."""

LIVE = frozenset({"log_level"})
"""Settings that a running node takes over at SIGHUP. All others need a restart."""

LOG = logging.getLogger("raftd.daemon")


class Signals:
    """SIGTERM, SIGINT and SIGHUP go through a pipe to thread raft-signals.

    The main thread may wait on a lock, and the system may hand a signal to any thread: such a wait
    would then go on. The handlers themselves have nothing left to do. A signal that this process
    was born to ignore stays ignored: nohup does that with SIGHUP, and a shell with SIGINT for its
    background jobs; a node that caught them would end with the terminal.
    """

    def __init__(self, order: Callable[[int], None], flush: Callable[[], None]) -> None:
        """order: takes each signal; thread raft-signals. flush: writes the log's last lines."""
        self._order = order
        self._flush = flush
        self._stopping = False
        self._begun = threading.Event()

    def catch(self) -> None:
        """Main thread, once. From here on a stop is heeded, also by what the start waits for."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _no_op)
        threading.Thread(
            target=self._read, args=(reader,), name="raft-signals", daemon=True
        ).start()
        if sys.stderr is not None:
            faulthandler.enable()
            faulthandler.register(signal.SIGUSR1, all_threads=True)

    def start_is_over(self) -> None:
        """It serves, or ends for a reason of its own: whoever takes the orders heeds a stop."""
        self._begun.set()

    def _read(self, reader: int) -> None:
        while True:
            for number in os.read(reader, 64):
                if number in STOP_SIGNALS:
                    if self._stopping:
                        os._exit(EXIT_INTERRUPTED)
                    LOG.info("%s: stopping", signal.Signals(number).name)
                    self._stopping = True
                elif number != signal.SIGHUP:
                    continue
                self._order(number)
                if self._stopping and not self._begun.wait(START_ENDS_SECONDS):
                    self._end_the_start()

    def _end_the_start(self) -> None:
        """The main thread waits for something that hears no signal: the cluster that it joins, a
        name server, a module of the state machine, a long log that it reads.

        Nothing is cleaned up. No client has been served, and what is on the disk by then is as
        after a crash, which recovery is made for.
        """
        LOG.info("stopped before it served")
        self._flush()
        os._exit(EXIT_OK)


class Reload:
    """SIGHUP: take over what can change while the node runs. Called on the main thread.

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


def _no_op(number: int, frame: FrameType | None) -> None:
    """Without a handler the signal would end the process; see Signals."""
