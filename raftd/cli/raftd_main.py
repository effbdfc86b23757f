"""The command `raftd`. Nothing heavy is imported before the command is known.

Exit codes: 0 done, 1 inspect or restore found damage, 2 usage or configuration, 3 the node was
removed from its cluster, 70 it could not go on safely, 74 the output could not be written, 75 it
could not start now, a later start may do, 130 stopped by a second signal.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from raftd import __version__
from raftd.cli import raftd_certs, raftd_recover, raftd_restore, settings_flags, streams
from raftd.config import ConfigError
from raftd.config.render import sample, show

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and where to read more."""
        self.exit(EXIT_USAGE, f"raftd: {message}; see `{self.prog} --help`\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit code."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser(words).parse_args(words)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        for line in error.lines:
            print(f"raftd: {line}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        streams.drop_stdout()  # `raftd ... | head`: nobody reads any more, which is no failure
        return EXIT_OK
    except OSError as error:
        return streams.output_lost("raftd", error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def build_parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """words: of the command line. Of the commands with a flag for each setting, of which there are
    a hundred, only one that is among them gets those flags. None: all of them.
    """
    parser = _Parser(
        prog="raftd",
        description="One node of a Raft cluster.",
        epilog="exit codes: 0 done, 1 inspect or restore found damage, 2 usage or configuration, "
        "3 the node was removed from its cluster, 70 it could not go on safely, 74 the output "
        "could not be written, 75 it could not start now, a later start may do, 130 stopped by a "
        "second signal",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raftd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="run the node until SIGTERM", allow_abbrev=False)
    _add_settings(serve, words)
    serve.set_defaults(run=_serve)

    config = commands.add_parser("config", help="look at the configuration", allow_abbrev=False)
    actions = config.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help="say what is wrong with it", allow_abbrev=False)
    _add_settings(check, words)
    check.set_defaults(run=_check)
    shown = actions.add_parser(
        "show", help="every setting in force, and where it came from", allow_abbrev=False
    )
    _add_settings(shown, words)
    shown.set_defaults(run=_show)
    printed = actions.add_parser("sample", help="print an annotated file with every default")
    printed.set_defaults(run=_sample)

    inspect = commands.add_parser(
        "inspect", help="read a data directory: identity, log, snapshots, damage"
    )
    inspect.add_argument(
        "directories", type=Path, nargs="+", metavar="directory",
        help="the data_dir of a node; it is not changed; of several: which is the most complete?",
    )  # fmt: skip
    inspect.add_argument("--json", action="store_true", help="the report as one JSON object")
    inspect.add_argument(
        "--records", action="store_true", help="every record as a line of JSON, without payloads"
    )
    inspect.set_defaults(run=_inspect)

    forget = commands.add_parser(
        "forget",
        help="undo what a node that never took part recorded of another",
        description="While a cluster is being formed, each node records who the others are, and "
        "refuses anybody else in their names. If that went wrong (a stranger came first, a "
        "directory was made twice), stop the node and undo the record. Refused once the node has "
        "been admitted. In a cluster of more than three, see first that no node has been.",
    )
    forget.add_argument("directory", type=Path, help="the data_dir of a stopped node")
    forget.add_argument("node", help="the id of the other node")
    forget.set_defaults(run=_forget)
    raftd_certs.add_to(commands)
    raftd_restore.add_to(commands, lambda parser: _add_settings(parser, words))
    raftd_recover.add_to(commands)
    return parser


def _add_settings(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> None:
    if words is None or parser.prog.rpartition(" ")[2] in words:
        settings_flags.add_to(parser)


def _serve(arguments: argparse.Namespace) -> int:
    loaded = settings_flags.read(arguments)
    # As process 1 of a container, a signal that nobody has asked for is not even fatal: a stop that
    # comes while the imports below take their time would be lost. The daemon puts its own in place.
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _not_started_yet)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _reload_later)
    # What the imports make stays: to look through all of it for garbage, again and again while it
    # grows, and once more before the node serves, took a tenth of the start.
    gc.disable()
    # gRPC reads its switches from the environment when it is first imported: after this line.
    from raftd.daemon import serve

    gc.freeze()
    gc.enable()
    return serve(loaded, lambda: settings_flags.read(arguments))


def _not_started_yet(number: int, frame: FrameType | None) -> None:
    """Nothing has been opened so far: this is an orderly stop."""
    raise SystemExit(EXIT_OK)


def _reload_later(number: int, frame: FrameType | None) -> None:
    """The configuration has just been read: nothing to do, but no reason to end either."""


def _check(arguments: argparse.Namespace) -> int:
    """The files of keys, certificates and the secret are read as at a start: what `serve` would end
    with is said here.
    """
    loaded = settings_flags.read(arguments)
    for line in loaded.warnings:
        print(f"warning: {line}")
    config = loaded.config
    if config.cluster_secret_file or config.peer_cert or config.client_cert:
        from raftd.embed.security import SecurityProblem, security_of

        try:
            security_of(config)
        except SecurityProblem as problem:
            raise ConfigError([str(problem)]) from None
    print(f"ok: node {config.id}, {len(config.peers)} voters, data in {config.data_dir}")
    return EXIT_OK


def _show(arguments: argparse.Namespace) -> int:
    print(show(settings_flags.read(arguments)), end="")
    return EXIT_OK


def _sample(_: argparse.Namespace) -> int:
    print(sample(), end="")
    return EXIT_OK


def _inspect(arguments: argparse.Namespace) -> int:
    from raftd.storage.inspect import inspect

    roots = list(map(str, arguments.directories))
    return inspect(roots, as_json=arguments.json, records=arguments.records)


def _forget(arguments: argparse.Namespace) -> int:
    from raftd.storage.errors import StorageError
    from raftd.storage.fs import OsFileSystem
    from raftd.storage.undo import CannotForget, forget

    try:
        was = forget(OsFileSystem(), str(arguments.directory), arguments.node)
    except (CannotForget, StorageError, OSError) as error:
        print(f"raftd: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(f"forgot {arguments.node} as {was}: it is recorded anew when it next says hello")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
