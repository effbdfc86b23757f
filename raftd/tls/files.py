"""One port's TLS files, and every reason why they cannot be used.

A certificate is rehearsed: both ends of a handshake are played in memory, so whatever would make
the other side refuse it (expired, another authority, another name) is found before a port opens.
"""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FILE_BYTES_MAX = 1 << 20
TURNS_MAX = 20
"""Steps of a rehearsed handshake; TLS 1.3 takes three."""


class TlsProblem(Exception):
    """TLS files cannot be used. One line: the setting, the file, the reason, the next step."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. prefix: of the settings' names (`peer`, `client`, or empty).

    cert: this side's certificate, then those between it and the authority. key: its private key.
    ca: whom the other side must be signed by; empty: the other side is not asked (a server), or the
    system's authorities count (a client). crl: certificates that `ca` has revoked; may be empty.
    """

    prefix: str
    cert: str = ""
    key: str = ""
    ca: str = ""
    crl: str = ""

    def paths(self) -> Iterator[tuple[str, str]]:
        """(name of the setting, path) of each file that is set."""
        for name in ("cert", "key", "ca", "crl"):
            path: str = getattr(self, name)
            if path:
                yield self.named(name), path

    def named(self, name: str) -> str:
        """The setting that `cert`, `key`, `ca` or `crl` is for the user."""
        return f"{self.prefix}_{name}" if self.prefix else name

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file does. A file that is gone counts as a change."""
        return tuple(_stamp(path) for _, path in self.paths())


def read(files: TlsFiles) -> dict[str, bytes]:
    """The bytes of each file by `cert`, `key`, `ca`, `crl`. Raises TlsProblem."""
    found: dict[str, bytes] = {}
    for setting, path in files.paths():
        try:
            with open(path, "rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise TlsProblem(f"{setting}: {path}: {error.strerror or error}") from None
        if len(content) > FILE_BYTES_MAX:
            raise TlsProblem(f"{setting}: {path}: expected a PEM file of at most 1 MiB")
        if b"-----BEGIN " not in content:
            raise TlsProblem(f"{setting}: {path}: expected a PEM file, with '-----BEGIN ...' lines")
        found[setting.rpartition("_")[2]] = content
    return found


def check_key_is_private(files: TlsFiles) -> None:
    """Raises TlsProblem when others than the owner's group may read the key."""
    if not files.key:
        return
    try:
        mode = stat.S_IMODE(os.stat(files.key).st_mode)
    except OSError as error:
        raise TlsProblem(f"{files.named('key')}: {files.key}: {error.strerror or error}") from None
    if mode & 0o027:
        raise TlsProblem(
            f"{files.named('key')}: {files.key}: mode {mode:04o} lets others at the private key; "
            f"chmod 600 {files.key}"
        )


def rehearse(files: TlsFiles, server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """The certificate that `server` shows, as `getpeercert` gives it, once both sides are content.

    Raises TlsProblem.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    try:
        for turn in range(TURNS_MAX):
            try:
                ends[turn % 2].do_handshake()
            except ssl.SSLWantReadError:
                continue
    except (ssl.SSLError, ValueError) as error:
        raise TlsProblem(f"{files.named('cert')}: {files.cert}: {reason(error)}") from None
    return ends[0].getpeercert() or {}


def reason(error: Exception) -> str:
    """In words of ours, for the mistakes that people make; else OpenSSL's."""
    told = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    told = str(told).replace("_", " ").lower()
    known = {
        "certificate has expired": "the certificate has expired; renew it",
        "certificate is not yet valid": "the certificate is not valid yet; is the clock right?",
        "peer did not return a certificate": "no certificate was shown",
        "http request": "it is plain text",
        "unable to get local issuer certificate": "not signed by the authority in the ca file",
        "certificate signature failure": "not signed by the authority in the ca file",
        "key values mismatch": "certificate and key do not belong together",
        "certificate revoked": "the certificate has been revoked",
        "unable to get certificate crl": "the crl file is not of the authority that signed it",
        "crl has expired": "the crl file has expired; fetch the newest one",
    }
    for words, better in known.items():
        if words in told:
            return better
    return told


def days_left(certificate: dict[str, Any], epoch_seconds: float) -> float:
    """Until the certificate expires; below 0 afterwards."""
    return (ssl.cert_time_to_seconds(certificate["notAfter"]) - epoch_seconds) / 86_400


def valid_until(certificate: dict[str, Any]) -> str:
    """UTC, as 2027-01-31 12:00:00."""
    moment = time.gmtime(ssl.cert_time_to_seconds(certificate["notAfter"]))
    return time.strftime("%Y-%m-%d %H:%M:%S", moment)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
