"""What systemd is told: that the node serves, that it lives, that it stops.

Without NOTIFY_SOCKET in the environment nobody asks, and nothing is sent. The protocol is that of
sd_notify(3); a datagram that cannot be sent is logged once and changes nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

LOG = logging.getLogger("raftd.daemon")


class Supervisor:
    """Main thread only. environ: of the process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._failed = False
        self.beat_seconds = _half_of_the_watchdog(environ)
        """How often `alive` is to be called; None: systemd does not watch."""

    def serving(self) -> None:
        self._tell("READY=1")

    def alive(self, ailments: list[str]) -> None:
        """ailments: why the process should be replaced (`Vitals.dead`); then systemd hears nothing.

        It ends the process after the whole of its watchdog's time, and starts another one.
        """
        if self.beat_seconds is not None and not ailments:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # an abstract name
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto(state.encode(), address)
        except OSError as error:
            if not self._failed:
                LOG.warning("NOTIFY_SOCKET: systemd cannot be told %s: %s", state, error)
            self._failed = True


def _half_of_the_watchdog(environ: Mapping[str, str]) -> float | None:
    """WATCHDOG_USEC holds for the process that WATCHDOG_PID names, not for its children."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environ["WATCHDOG_USEC"]) / 2e6 or None
    except (KeyError, ValueError):
        return None
