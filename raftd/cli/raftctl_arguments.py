"""What raftctl takes on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import raftd
from raftd.cli.member_options import add_to as add_members
from raftd.cli.option_kinds import given, number, seconds

USAGE = 2
ENDPOINTS_VARIABLE = "RAFTCTL_ENDPOINTS"
_EPILOG = f"""\
endpoints: --endpoints host:port,host:port or {ENDPOINTS_VARIABLE}: client ports of the nodes.

bytes: KEY and VALUE are taken as they are. `get KEY` writes exactly the value's bytes to stdout;
`get --prefix` writes a line per key with unprintable bytes escaped. With -w json every field whose
name ends in _base64 holds bytes in base64.

exit codes: 0 done; 1 answered no (absent, compare failed, not healthy); 2 usage or configuration;
3 certainly not done (no leader reached, overloaded): safe to repeat; 4 outcome unknown: read
before you repeat; 5 refused (by the state machine or a limit); 6 done, but the answer is too long
to be sent: do not repeat; 74 the output could not be written: what was asked may be done; 130
interrupted.

A change is one entry of the log, sent again only where it was certainly not done.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, and where to read more."""
        self.exit(USAGE, f"raftctl: {message}; see `{self.prog} --help`\n")


_TLS_FILES = {
    "cacert": "TLS: the authority of the nodes' certificates",
    "cert": "the own certificate, where the nodes ask for one",
    "key": "its private key",
}


def _common(*, top: bool) -> _Parser:
    """The options that may stand before or after the command."""
    hidden = argparse.SUPPRESS
    options = _Parser(add_help=False)
    options.add_argument(
        "--endpoints", type=given, metavar="HOST:PORT,...", default=None if top else hidden,
        help=f"client ports of the nodes (or {ENDPOINTS_VARIABLE})",
    )  # fmt: skip
    options.add_argument(
        "-w", "--output", choices=("table", "json"), default="table" if top else hidden,
        help="how to show the answer (default: table)",
    )  # fmt: skip
    options.add_argument(
        "--timeout", type=seconds, metavar="TIME", default=5.0 if top else hidden,
        help="for the whole command, retries included (default: 5s)",
    )  # fmt: skip
    for name, what in _TLS_FILES.items():
        options.add_argument(
            f"--{name}", dest=f"tls_{name}", type=given, metavar="FILE",
            default=None if top else hidden,
            help=f"{what} (or RAFTCTL_{name.upper()})",
        )  # fmt: skip
    options.add_argument(
        "--user", type=given, metavar="NAME[:PASSWORD]", default=None if top else hidden,
        help="who this is (or RAFTCTL_USER); the password better comes from RAFTCTL_PASSWORD, from "
        "--password-file or from the terminal: others can see a command line",
    )  # fmt: skip
    options.add_argument(
        "--password-file", type=given, metavar="FILE", default=None if top else hidden,
        help="holds the password in its first line, mode 600 (or RAFTCTL_PASSWORD_FILE)",
    )  # fmt: skip
    return options


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Exits as argparse does. `program`: what stands behind "--" after `lock`."""
    words, program = list(argv), list[str]()
    if "--" in words and _command(words) == "lock":
        at = words.index("--")
        words, program = words[:at], words[at + 1 :]
    args = make_parser().parse_args(words)
    args.program = program
    if args.command == "backup":
        _settle_backup(args)
    return args


def _settle_backup(args: argparse.Namespace) -> None:
    """`backup FILE` asks a node, `backup verify FILE` asks none."""
    if args.words[0] == "verify" and len(args.words) == 2:
        args.handler, args.no_client = "raftctl_backup:verify", True
    elif len(args.words) != 1:
        _Parser(prog="raftctl backup").error("name one FILE, or say `verify FILE`")
    args.file = args.words[-1]


def _command(words: Sequence[str]) -> str:
    """The first word that is neither an option nor the value of one; all common ones have one."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] else 2
    return words[at] if at < len(words) else ""


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="raftctl",
        description="Talk to a raftd cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common(top=True)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raftctl {raftd.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _common(top=False)

    def add(name: str, handler: str, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=help, description=help, parents=[common], allow_abbrev=False
        )
        command.set_defaults(handler=handler, no_client=False)
        return command

    _add_store(add)
    _add_history(add)
    _add_held(add)
    _add_machine(add)
    _add_nodes(add)
    add_members(add, _common(top=False))
    _add_films(add)
    return parser


Add = Callable[[str, str, str], argparse.ArgumentParser]


def _add_store(add: Add) -> None:
    put = add("put", "raftctl_kv:put", "store a value under a key")
    put.add_argument("key", metavar="KEY")
    _add_bytes(put, "VALUE")
    put.add_argument("--lease", metavar="ID", help="the key ends with this lease")
    get = add("get", "raftctl_kv:get", "read a key, or all keys with a prefix")
    get.add_argument("key", metavar="KEY")
    get.add_argument(
        "--prefix", action="store_true", help="all keys that start with KEY ('': every key)"
    )
    get.add_argument("--limit", type=number, default=0, help="at most so many keys (default: all)")
    get.add_argument(
        "--rev", type=number, default=0, metavar="N", help="as it was at revision N (one key)"
    )
    _add_stale(get)
    add("delete", "raftctl_kv:delete", "delete a key").add_argument("key", metavar="KEY")
    cas = add("cas", "raftctl_kv:cas", "store a value if the key is as expected")
    cas.add_argument("key", metavar="KEY")
    _add_bytes(cas, "VALUE")
    cas.add_argument(
        "--delete", action="store_true", help="delete the key instead of storing a value"
    )
    expect = cas.add_mutually_exclusive_group(required=True)
    expect.add_argument("--expect-value", metavar="VALUE", help="the key holds this value")
    expect.add_argument(
        "--expect-version", type=number, metavar="N", help="has version N (0: absent)"
    )
    expect.add_argument(
        "--expect-mod-revision", type=number, metavar="N", help="was changed last at N"
    )
    expect.add_argument("--expect-absent", action="store_true", help="there is no such key")


def _add_history(add: Add) -> None:
    watch = add("watch", "raftctl_history:watch", "follow the changes of a key, for ever")
    watch.add_argument("key", metavar="KEY")
    watch.add_argument(
        "--prefix", action="store_true", help="of all keys that start with KEY ('': every key)"
    )
    watch.add_argument(
        "--rev", type=number, default=0, metavar="N", help="begin with revision N (default: now)"
    )
    watch.add_argument("--prev", action="store_true", help="show what was there before, too")
    watch.add_argument(
        "--count", type=number, default=0, metavar="N", help="end after N events (default: never)"
    )
    txn = add("txn", "raftctl_history:txn", "compare, then do this or else that, as one")
    txn.add_argument(
        "--when", action="append", default=[], metavar="COMPARE",
        help="'value KEY = X', 'version KEY > 3', also create, mod, lease; 'exists KEY', "
        "'absent KEY'; all of them have to hold",
    )  # fmt: skip
    txn.add_argument(
        "--then", action="append", default=[], metavar="OPERATION",
        help="'put KEY VALUE', 'get KEY', 'delete KEY'; KEY may be quoted as in a shell",
    )  # fmt: skip
    txn.add_argument(
        "--else", action="append", default=[], dest="otherwise", metavar="OPERATION",
        help="if one does not hold",
    )  # fmt: skip
    compact = add("compact", "raftctl_history:compact", "forget the history before a revision")
    compact.add_argument("revision", type=number, metavar="REVISION")
    alarm = add("alarm", "raftctl_alarm:alarm", "alarms of the store; disarm: clear all")
    alarm.add_argument("action", choices=("list", "disarm"), nargs="?", default="list")


def _add_held(add: Add) -> None:
    lease = add("lease", "raftctl_held:lease", "leases: keys put with one end with it")
    lease.add_argument("action", choices=("grant", "revoke", "ttl", "keep-alive", "list"))
    lease.add_argument("what", metavar="SECONDS|ID", nargs="?", default="")
    lease.add_argument("--keys", action="store_true", help="ttl: list the keys of the lease, too")
    lock = add("lock", "raftctl_held:lock", "run a program under a lock, or hold it until ^C")
    lock.add_argument("name", metavar="NAME")
    _add_ttl(lock)
    lock.add_argument(
        "--wait", type=seconds, metavar="TIME", help="for how long at most (default: for ever)"
    )
    lock.usage = (
        "%(prog)s [-h] NAME [--ttl TIME] [--wait TIME] [-- PROGRAM ARGUMENT ...]; "
        "PROGRAM finds RAFTCTL_LOCK_KEY and RAFTCTL_LOCK_TOKEN set"
    )
    elect = add("elect", "raftctl_held:elect", "campaign and lead until ^C, or see who leads")
    elect.add_argument("name", metavar="NAME")
    elect.add_argument("value", metavar="VALUE", nargs="?", help="what others see of us; none: see")
    _add_ttl(elect)
    elect.add_argument("--observe", action="store_true", help="follow who leads, for ever")


def _add_ttl(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ttl", type=seconds, default=10.0, metavar="TIME",
        help="for how long it is kept for an owner that died (whole seconds; default: 10s)",
    )  # fmt: skip


def _add_machine(add: Add) -> None:
    _add_bytes(
        add("submit", "raftctl_kv:submit", "send a raw command to the state machine"), "COMMAND"
    )
    query = add("query", "raftctl_kv:query", "send a raw query to the state machine")
    _add_bytes(query, "QUERY")
    _add_stale(query)


def _add_nodes(add: Add) -> None:
    add("status", "raftctl_nodes:status", "a row for each node: role, term, indexes, lag, leader")
    add("health", "raftctl_nodes:health", "does each node serve?")
    add(
        "why",
        "raftctl_why:why",
        "explain in sentences what is wrong: no leader, who waits, who lags",
    )
    add("snapshot", "raftctl_nodes:snapshot", "let every endpoint take a snapshot now")
    log = add("log-level", "raftctl_log:log_level", "what every endpoint logs; LEVEL changes it")
    log.add_argument("level", nargs="?", default="", help="debug, info, warning, error, default")
    log.add_argument("--logger", default="raftd", help="as log lines name it (default: raftd)")
    backup = add(
        "backup",
        "raftctl_backup:backup",
        "write all that a node has applied to a file ('-': to stdout), or verify such a file",
    )
    backup.add_argument("words", metavar="FILE | verify FILE", nargs="+")
    backup.usage = "%(prog)s [-h] [--from HOST:PORT] FILE | verify FILE"
    backup.add_argument(
        "--from", dest="source", metavar="HOST:PORT",
        help="the node to ask (default: the leader, if it is one of the endpoints)",
    )  # fmt: skip
    transfer = add("transfer", "raftctl_nodes:transfer", "hand leadership to another node")
    transfer.add_argument(
        "target", metavar="NODE", nargs="?", default="", help="default: the best one"
    )
    events = add("events", "raftctl_nodes:events", "follow the events of the first endpoint")
    events.add_argument(
        "--from-start", action="store_true", help="begin with what the node remembers"
    )


def _add_films(add: Add) -> None:
    top = add("top", "raftctl_top:top", "the cluster in a terminal: roles, lag, rates, changes")
    top.add_argument(
        "--every", type=seconds, metavar="TIME", default=1.0, help="how often (default: 1s)"
    )
    top.add_argument("--once", action="store_true", help="one look, as without a terminal")
    record = add("record", "raftctl_film:record", "film a cluster, to be played on its page")
    record.add_argument("file", metavar="FILE", type=Path)
    record.add_argument(
        "--page", metavar="HOST:PORT", default="127.0.0.1:7003",
        help="the HTTP port of a node with `page: true` (default: %(default)s)",
    )  # fmt: skip
    record.add_argument(
        "--for", dest="seconds", type=seconds, metavar="TIME", default=60.0,
        help="beside the last minute, which is in it, too (default: 60s)",
    )  # fmt: skip
    record.set_defaults(no_client=True)


def _add_bytes(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("value", metavar=name, nargs="?", help="'-': read it from stdin")
    parser.add_argument("--file", metavar="PATH", help="read it from a file")


def _add_stale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stale", action="store_true", help="any node may answer from its own, perhaps old, state"
    )
