"""Names for nodes, known to /etc/hosts alone, and a name server that never answers.

Each node runs in a mount namespace of its own with these files in the place of the system's; so it
needs Linux and the right to make one (root, or a container that allows it).
"""

from __future__ import annotations

import platform
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_IN_NAMESPACE = """
mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf || exit 1
if [ -e /etc/nsswitch.conf ]; then mount --bind "$3" /etc/nsswitch.conf || exit 1; fi
shift 3
exec "$@"
"""


def why_not() -> str:
    """Why it cannot be done here; empty if it can."""
    if platform.system() != "Linux" or shutil.which("unshare") is None:
        return "mount namespaces need Linux and unshare"
    command = ["unshare", "-m", "sh", "-c", "mount --bind /etc/hosts /etc/hosts"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return "making a mount namespace is forbidden here"
    try:
        _silent_server().close()
    except OSError as error:
        return f"port 53 of loopback cannot be had: {error.strerror}"
    return ""


def _silent_server() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind((f"127.0.{random.randrange(1, 255)}.{random.randrange(2, 255)}", 53))
    except OSError:
        server.close()
        raise
    return server


class Naming:
    """Files under `base`. asked: questions that the silent name server has got."""

    def __init__(self, base: Path, ids: Iterable[str]) -> None:
        self.asked = 0
        self._ids = list(ids)
        self._server = _silent_server()
        base.mkdir(parents=True, exist_ok=True)
        self._files = [base / name for name in ("hosts", "resolv.conf", "nsswitch.conf")]
        address = self._server.getsockname()[0]
        self._files[1].write_text(f"nameserver {address}\noptions timeout:2 attempts:2\n")
        self._files[2].write_text("hosts: files dns\n")
        self.know()
        threading.Thread(target=self._listen, name="silent-names", daemon=True).start()

    def host(self, node: str) -> str:
        return f"{node}.chaos"

    def wrapper(self) -> list[str]:
        """What a node's command is put behind."""
        files = [str(path) for path in self._files]
        return ["unshare", "-m", "sh", "-c", _IN_NAMESPACE, "sh", *files]

    def know(self) -> None:
        names = " ".join(self.host(node) for node in self._ids)
        self._files[0].write_text(f"127.0.0.1 localhost {names}\n")

    def forget(self) -> None:
        """From now on only the name server could tell."""
        self._files[0].write_text("127.0.0.1 localhost\n")

    def close(self) -> None:
        self._server.close()

    def _listen(self) -> None:
        while True:
            try:
                self._server.recvfrom(2048)
            except OSError:
                return
            self.asked += 1
