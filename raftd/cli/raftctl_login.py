"""Who raftctl is: --user, and a password that need not stand on the command line."""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys

from raftd.client.errors import Invalid

PASSWORD_BYTES_MAX = 4096


def login_of(args: argparse.Namespace) -> tuple[str, str]:
    """(user, password), both empty without --user. Asks for the password on a terminal, if it is
    nowhere else. Raises Invalid.
    """
    given = args.user or os.environ.get("RAFTCTL_USER", "")
    user, colon, password = given.partition(":")
    if not given:
        return "", ""
    if not user:
        raise Invalid("--user: expected NAME or NAME:PASSWORD")
    if colon:
        return user, password
    path = args.password_file or os.environ.get("RAFTCTL_PASSWORD_FILE", "")
    if path:
        return user, _read(path)
    if "RAFTCTL_PASSWORD" in os.environ:
        return user, os.environ["RAFTCTL_PASSWORD"]
    if not sys.stdin.isatty():
        raise Invalid(
            f"--user {user}: no password: set RAFTCTL_PASSWORD, or name a file by --password-file"
        )
    return user, getpass.getpass(f"password of {user}: ")


def _read(path: str) -> str:
    """The first line of a file that nobody else may read."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid(f"--password-file: {path}: {error.strerror}") from None
    if mode & 0o077:
        raise Invalid(f"--password-file: {path}: mode {mode:04o} lets others at it; chmod 600")
    line = data.splitlines()[0] if data else b""
    if not line or len(line) > PASSWORD_BYTES_MAX:
        limit = PASSWORD_BYTES_MAX
        raise Invalid(f"--password-file: {path}: expected a line of 1 to {limit} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Invalid(f"--password-file: {path}: expected text in UTF-8") from None
