"""Asks this container's own node over HTTP: `probe.py /livez` or `probe.py /readyz`.

Exit code 0 if it says yes. Needs nothing but the standard library's socket: an interpreter that
imports no more is started and gone in 20 ms, every few seconds on every node.
"""

import os
import socket
import sys

TIMEOUT_SECONDS = 2.0


def main() -> int:
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    host, _, port = os.environ.get("RAFTD_LISTEN_ADMIN", "127.0.0.1:7003").rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    try:
        with socket.create_connection((host, int(port)), TIMEOUT_SECONDS) as to:
            to.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
            answer = b""
            while chunk := to.recv(4096):
                answer += chunk
    except OSError as error:
        sys.stdout.write(f"no answer from {host}:{port}: {error}\n")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    sys.stdout.write(body.decode(errors="replace"))  # `docker inspect` shows it
    return 0 if head.split()[1:2] == [b"200"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
