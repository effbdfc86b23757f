"""raftctl: talk to a raftd cluster from a shell.

Everything heavy is imported when it is needed: --help, a wrong option and a missing endpoint cost
no gRPC.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from raftd.cli import streams
from raftd.cli.raftctl_arguments import ENDPOINTS_VARIABLE, parse

OK, NO, USAGE, NOT_DONE, UNKNOWN, REFUSED, ANSWER_LOST, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. argv: without the program's name; None: sys.argv."""
    streams.prepare()
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:  # argparse: --help, --version or a usage error
        return int(ended.code or 0)
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough
        streams.drop_stdout()
        return OK
    except OSError as error:
        return streams.output_lost("raftctl", error)
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

    if args.no_client:
        return int(_handler(args.handler)(args, None))
    endpoints = args.endpoints or os.environ.get(ENDPOINTS_VARIABLE, "")
    if not endpoints:
        complain(f"no endpoints: give --endpoints host:port,host:port or set {ENDPOINTS_VARIABLE}")
        return USAGE
    try:
        from raftd.client.endpoints import parse_endpoints

        parse_endpoints(endpoints)  # before gRPC is loaded
        with _no_collections():
            from raftd.cli.raftctl_login import login_of
            from raftd.client import Client
            from raftd.client.settings import Options

            handler = _handler(args.handler)
        user, password = login_of(args)
        options: Options = {
            "timeout": args.timeout,
            "ca": _file(args, "cacert"),
            "cert": _file(args, "cert"),
            "key": _file(args, "key"),
            "user": user,
            "password": password,
        }
        with Client(endpoints, **options) as client:
            code = int(handler(args, client))
            sys.stdout.flush()  # the answer first: closing is only good manners
    except Invalid as error:
        complain(error.message)
        return REFUSED if error.endpoint else USAGE
    except RaftdError as error:
        return _explain(error)
    return code


@contextmanager
def _no_collections() -> Iterator[None]:
    """Load modules without a look for garbage: there is none, and it takes a fifth of the start."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _file(args: argparse.Namespace, name: str) -> str:
    given: str | None = getattr(args, f"tls_{name}")
    return given or os.environ.get(f"RAFTCTL_{name.upper()}", "")


def _explain(error: Exception) -> int:
    from raftd.cli.raftctl_output import complain
    from raftd.client.errors import AnswerTooLong, NotDone, Refused

    if isinstance(error, NotDone):
        said = str(error).removesuffix(" (see `raftctl why`)")  # the leader says it to all clients
        complain(f"not done: {said} (see `raftctl why`, then repeat)")
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


if __name__ == "__main__":
    sys.exit(main())
