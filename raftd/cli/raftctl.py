"""raftctl: talk to a raftd cluster from a shell.

Everything heavy is imported when it is needed: --help, a wrong option and a missing endpoint cost
no gRPC.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import raftd
from raftd.cli import streams

OK, NO, USAGE, NOT_DONE, UNKNOWN, REFUSED, ANSWER_LOST, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130
ENDPOINTS_VARIABLE = "RAFTCTL_ENDPOINTS"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_EPILOG = f"""\
endpoints: --endpoints host:port,host:port or {ENDPOINTS_VARIABLE}: client ports of the nodes.

bytes: KEY and VALUE are taken as they are. `get KEY` writes exactly the value's bytes to stdout;
`get --prefix` writes a line per key with unprintable bytes escaped. With -w json every field whose
name ends in _base64 holds bytes in base64.

exit codes: 0 done; 1 answered no (absent, compare failed, not healthy); 2 usage or configuration;
3 certainly not done (no leader reached, overloaded): safe to repeat; 4 outcome unknown: read
before you repeat; 5 refused (by the state machine or a limit); 6 done, but the answer is too long
to be sent: do not repeat; 130 interrupted.

A change is sent in a session of its own, so that it may be sent again and is still done once.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. argv: without the program's name; None: sys.argv."""
    streams.prepare()
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as ended:  # argparse: --help, --version or a usage error
        return int(ended.code or 0)
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        _drop_stdout()
        return OK
    except KeyboardInterrupt:
        print(
            "raftctl: interrupted; a change that was under way may be done or not", file=sys.stderr
        )
        return INTERRUPTED
    return code


def _run(args: argparse.Namespace) -> int:
    import raftd.own_process  # noqa: F401 - before the first import of grpc
    from raftd.cli.raftctl_output import complain
    from raftd.client.errors import Invalid, RaftdError

    endpoints = args.endpoints or os.environ.get(ENDPOINTS_VARIABLE, "")
    if not endpoints:
        complain(f"no endpoints: give --endpoints host:port,host:port or set {ENDPOINTS_VARIABLE}")
        return USAGE
    try:
        from raftd.client.routing import parse_endpoints

        parse_endpoints(endpoints)  # before gRPC is loaded
        from raftd.client import Client
        from raftd.client.settings import Options

        options: Options = {
            "timeout": args.timeout,
            "ca": _file(args, "cacert"),
            "cert": _file(args, "cert"),
            "key": _file(args, "key"),
        }
        with Client(endpoints, **options) as client:
            code = int(_handler(args.handler)(args, client))
            sys.stdout.flush()  # the answer first: closing is only good manners
    except Invalid as error:
        complain(error.message)
        return REFUSED if error.endpoint else USAGE
    except RaftdError as error:
        return _explain(error)
    return code


def _file(args: argparse.Namespace, name: str) -> str:
    given: str | None = getattr(args, f"tls_{name}")
    return given or os.environ.get(f"RAFTCTL_{name.upper()}", "")


def _explain(error: Exception) -> int:
    from raftd.cli.raftctl_output import complain
    from raftd.client.errors import AnswerTooLong, NotDone, Refused

    if isinstance(error, NotDone):
        complain(f"not done: {error} (see `raftctl why`, then repeat)")
        return NOT_DONE
    if isinstance(error, Refused):
        complain(f"refused: {error}")
        return REFUSED
    if isinstance(error, AnswerTooLong):
        complain(f"done, answer lost: {error}")
        return ANSWER_LOST
    complain(f"outcome unknown: {error}")
    return UNKNOWN


def _handler(name: str) -> Callable[[argparse.Namespace, object], int]:
    module, function = name.split(":")
    handler: Callable[[argparse.Namespace, object], int] = getattr(
        import_module(f"raftd.cli.{module}"), function
    )
    return handler


def _drop_stdout() -> None:
    """Or the interpreter complains about the broken pipe once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1ms to 60m, as in 500ms, 5s or 2m")
    return seconds


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


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
        "--endpoints", metavar="HOST:PORT,...", default=None if top else hidden,
        help=f"client ports of the nodes (or {ENDPOINTS_VARIABLE})",
    )  # fmt: skip
    options.add_argument(
        "-w", "--output", choices=("table", "json"), default="table" if top else hidden,
        help="how to show the answer (default: table)",
    )  # fmt: skip
    options.add_argument(
        "--timeout", type=_seconds, metavar="TIME", default=5.0 if top else hidden,
        help="for the whole command, retries included (default: 5s)",
    )  # fmt: skip
    for name, what in _TLS_FILES.items():
        options.add_argument(
            f"--{name}", dest=f"tls_{name}", metavar="FILE", default=None if top else hidden,
            help=f"{what} (or RAFTCTL_{name.upper()})",
        )  # fmt: skip
    return options


def _parser() -> argparse.ArgumentParser:
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
        command.set_defaults(handler=handler)
        return command

    _add_store(add)
    _add_machine(add)
    _add_nodes(add)
    return parser


Add = Callable[[str, str, str], argparse.ArgumentParser]


def _add_store(add: Add) -> None:
    put = add("put", "raftctl_kv:put", "store a value under a key")
    put.add_argument("key", metavar="KEY")
    _add_bytes(put, "VALUE")
    get = add("get", "raftctl_kv:get", "read a key, or all keys with a prefix")
    get.add_argument("key", metavar="KEY")
    get.add_argument(
        "--prefix", action="store_true", help="all keys that start with KEY ('': every key)"
    )
    get.add_argument("--limit", type=_number, default=0, help="at most so many keys (default: all)")
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
        "--expect-version", type=_number, metavar="N", help="has version N (0: absent)"
    )
    expect.add_argument(
        "--expect-mod-revision", type=_number, metavar="N", help="was changed last at N"
    )
    expect.add_argument("--expect-absent", action="store_true", help="there is no such key")


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
    transfer = add("transfer", "raftctl_nodes:transfer", "hand leadership to another node")
    transfer.add_argument(
        "target", metavar="NODE", nargs="?", default="", help="default: the best one"
    )
    events = add("events", "raftctl_nodes:events", "follow the events of the first endpoint")
    events.add_argument(
        "--from-start", action="store_true", help="begin with what the node remembers"
    )


def _add_bytes(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("value", metavar=name, nargs="?", help="'-': read it from stdin")
    parser.add_argument("--file", metavar="PATH", help="read it from a file")


def _add_stale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stale", action="store_true", help="any node may answer from its own, perhaps old, state"
    )


if __name__ == "__main__":
    sys.exit(main())
