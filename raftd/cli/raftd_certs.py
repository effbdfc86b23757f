"""`raftd certs`: an authority for trials, and certificates for nodes and clients."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from raftd.config.kinds import parse_duration, parse_node_id

EXIT_OK = 0
EXIT_USAGE = 2
NEEDS = "raftd certs needs the package `cryptography`: pip install 'raftd[certs]'"


def add_to(commands: Any) -> None:
    certs = commands.add_parser(
        "certs",
        help="make certificates for trials (an authority, nodes, clients)",
        description="Certificates for trials. `ca` makes an authority, the others are signed by "
        "it. Keys are written for their owner only; nothing that is there is replaced.",
        allow_abbrev=False,
    )
    kinds = certs.add_subparsers(metavar="KIND", required=True)
    ca = kinds.add_parser("ca", help="an authority: ca.crt and ca.key", allow_abbrev=False)
    _directory(ca)
    ca.set_defaults(run=_ca)

    node = kinds.add_parser("node", help="a node: ID.crt and ID.key", allow_abbrev=False)
    _directory(node)
    node.add_argument("id", type=_node_id, help="the node's id, as in its configuration")
    node.add_argument(
        "--host",
        action="append",
        default=[],
        help="a name or address at which clients reach it; may be given again (127.0.0.1 and "
        "localhost are always there)",
    )
    _lifetime(node)
    node.set_defaults(run=_node)

    client = kinds.add_parser("client", help="a client: USER.crt and USER.key", allow_abbrev=False)
    _directory(client)
    client.add_argument("user", type=_node_id, help="the user's name, which the certificate holds")
    _lifetime(client)
    client.set_defaults(run=_client)

    revoke = kinds.add_parser(
        "revoke", help="ca.crl: certificates that count no longer", allow_abbrev=False
    )
    _directory(revoke)
    revoke.add_argument("name", nargs="+", type=_node_id, help="node or user, all that are revoked")
    revoke.set_defaults(run=_revoke)


def _directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="where the authority's files are")


def _lifetime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--valid",
        type=_duration,
        default=datetime.timedelta(days=365),
        metavar="DURATION",
        help="for how long it counts, such as 8760h (the default) or 24h",
    )


def _duration(text: str) -> datetime.timedelta:
    try:
        return datetime.timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _node_id(text: str) -> str:
    try:
        return parse_node_id(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _ca(arguments: argparse.Namespace) -> int:
    return _made(arguments, "ca.crt", "ca.key")


def _node(arguments: argparse.Namespace) -> int:
    return _made(arguments, f"{arguments.id}.crt", f"{arguments.id}.key")


def _client(arguments: argparse.Namespace) -> int:
    return _made(arguments, f"{arguments.user}.crt", f"{arguments.user}.key")


def _revoke(arguments: argparse.Namespace) -> int:
    return _made(arguments, "ca.crl")


def _made(arguments: argparse.Namespace, *names: str) -> int:
    """Make what the command is for, and name the files."""
    try:
        from raftd.tls.certs import CertsProblem
    except ImportError:
        print(f"raftd: {NEEDS}", file=sys.stderr)
        return EXIT_USAGE
    try:
        _make(arguments, datetime.datetime.now(datetime.UTC))
    except CertsProblem as problem:
        print(f"raftd: {problem}", file=sys.stderr)
        return EXIT_USAGE
    for name in names:
        print(arguments.directory / name)
    return EXIT_OK


def _make(arguments: argparse.Namespace, now: datetime.datetime) -> None:
    from raftd.tls.certs import Authority

    directory: Path = arguments.directory
    if arguments.run is _ca:
        Authority.make(directory, now)
    elif arguments.run is _node:
        hosts = list(dict.fromkeys(["127.0.0.1", "localhost", *arguments.host]))
        Authority.load(directory).node(directory, arguments.id, hosts, now, arguments.valid)
    elif arguments.run is _client:
        Authority.load(directory).client(directory, arguments.user, now, arguments.valid)
    else:
        Authority.load(directory).revoke(directory, arguments.name, now)
