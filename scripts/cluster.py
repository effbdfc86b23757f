"""A local cluster to play with: N nodes on loopback, their files under .run/nodes.

.venv/bin/python -m scripts.cluster up --nodes 3  start (again) n1, n2, n3; --tls: secured
.venv/bin/python -m scripts.cluster status        what each says of itself
.venv/bin/python -m scripts.cluster kill leader   SIGKILL; `start n2`, if it was n2, brings it back
.venv/bin/python -m scripts.cluster pause n1      SIGSTOP; `resume n1` wakes it
.venv/bin/python -m scripts.cluster down          stop all, keep the data
.venv/bin/python -m scripts.cluster wipe          stop all, remove the data
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.certificates import certificates, client_files, hand_out
from harness.nodes import (
    Node,
    NodeTrouble,
    endpoints,
    kill_all,
    page_settings,
    remove_tree,
    wait_until,
    write_configs,
)
from scripts.local_nodes import (
    BASE,
    FIRST_PORT,
    PORT_VARIABLE,
    WIPE,
    Local,
    default_port,
    short,
)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        arguments = parser().parse_args(argv)
        local = Local(arguments.directory.resolve(), arguments.first_port)
        code: int = arguments.run(local, arguments)
        sys.stdout.flush()
    except NodeTrouble as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m scripts.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--directory", type=Path, default=BASE, help="where the nodes' files are (.run/nodes)"
    )
    made.add_argument(
        "--first-port",
        type=int,
        default=default_port(),
        metavar="PORT",
        help=f"default: ${PORT_VARIABLE}, or {FIRST_PORT}",
    )
    verbs = made.add_subparsers(metavar="VERB", required=True)
    up = verbs.add_parser("up", help="start N nodes and wait until they serve")
    up.add_argument("--nodes", type=int, default=3, metavar="N", help="1 to 9 (default 3)")
    up.add_argument("--tls", action="store_true", help="with certificates, made here (new nodes)")
    up.set_defaults(run=_up)
    for name, run, text in (
        ("down", _down, "stop all; the data stays"),
        ("status", _status, "ask every node"),
        ("wipe", _wipe, "stop all and remove everything"),
    ):
        verbs.add_parser(name, help=text).set_defaults(run=run)
    for name, act, text in (
        ("start", _start, "start one node"),
        ("stop", _stop, "SIGTERM to one node"),
        ("kill", _kill, "SIGKILL to one node"),
        ("pause", _pause, "SIGSTOP to one node"),
        ("resume", _resume, "SIGCONT to one node"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("node", help="n1, n2, ... or leader")
        verb.set_defaults(run=act)
    return made


def _up(local: Local, arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.nodes <= 9:
        raise NodeTrouble(f"--nodes {arguments.nodes}: expected 1 to 9")
    nodes = [local.node_at(number) for number in range(1, arguments.nodes + 1)]
    before = local.existing()
    if before and len(before) != len(nodes):
        raise NodeTrouble(
            f"a cluster of {len(before)} is under {short(local.base)}; its members are fixed: "
            f"`make up N={len(before)}`, or `{WIPE}` and start anew"
        )
    if before and arguments.tls and not local.tls.exists():
        raise NodeTrouble(
            f"the nodes under {short(local.base)} have no certificates; `{WIPE}` "
            "and start anew, or see docs/security.md for nodes with data"
        )
    _check_ports(nodes)
    if not before:
        secured = certificates(local.tls, nodes) if arguments.tls else {}
        write_configs(nodes, {**page_settings(nodes), **secured})
        if secured:
            hand_out(local.tls, nodes)
    for node in _dead(nodes):
        node.start()
    for node in nodes:
        wait_until(lambda node=node: _settled(node), 30, f"{node.id} to serve", [node])  # type: ignore[misc]
    where = ",".join(endpoints(nodes))
    print(f"{len(nodes)} nodes serve; their files are under {short(local.base)}\n")
    print(f"  export RAFTCTL_ENDPOINTS={where}")
    for name, value in _credentials(local).items():
        print(f"  export {name}={value}")
    print("  .venv/bin/raftctl put greeting hello")
    print("  .venv/bin/raftctl get greeting")
    print("  .venv/bin/raftctl status")
    print(f"  see it all: http://127.0.0.1:{nodes[0].ports.admin}/")
    again = f".venv/bin/python -m scripts.cluster{_flags(local)}"
    print(f"  {again} kill leader # and `make up` again")
    print("  make down" if not _flags(local) else f"  {again} down")
    return 0


def _credentials(local: Local) -> dict[str, str]:
    """What raftctl has to be told of, in its environment, to be let in."""
    if not local.tls.exists():
        return {}
    files = client_files(local.tls)
    return {"RAFTCTL_CACERT": files.ca, "RAFTCTL_CERT": files.cert, "RAFTCTL_KEY": files.key}


def _flags(local: Local) -> str:
    """What has to be said again to mean these nodes."""
    said = "" if local.base == BASE else f" --directory {short(local.base)}"
    return said if local.first_port == default_port() else f"{said} --first-port {local.first_port}"


def _check_ports(nodes: Sequence[Node]) -> None:
    """Raises NodeTrouble if another program has a port of a node that does not run.

    The story without it: nodes of another directory answer at these ports, and it looks as if
    ours served.
    """
    for node in _dead(nodes):
        for port in (node.ports.peer, node.ports.client, node.ports.admin):
            if _taken(port):
                raise NodeTrouble(
                    f"{node.id}: port {port} is taken, by another program or by nodes of another "
                    f"directory: stop that, or {_other_ports(node, port)}"
                )


def _other_ports(node: Node, taken: int) -> str:
    others = f"choose others, as in `{PORT_VARIABLE}={taken + 1000} make up`"
    return f"`{WIPE}` and {others}" if node.config_path.exists() else others


def _dead(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.pid() is None]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _settled(node: Node) -> bool:
    if node.pid() is None:
        raise NodeTrouble(f"{node.id} ended at once; its log says:\n{node.log_tail()}")
    return node.ready()


def _down(local: Local, _: argparse.Namespace) -> int:
    stopped = 0
    for node in local.existing():
        stopped += node.pid() is not None
        node.stop()
    print(f"{stopped} nodes stopped")
    return 0


def _wipe(local: Local, _: argparse.Namespace) -> int:
    kill_all(local.to_wipe())
    remove_tree(local.base)
    return 0


def _status(local: Local, _: argparse.Namespace) -> int:
    nodes = local.existing()
    if not nodes:
        raise NodeTrouble("no nodes; `make up` makes three")
    for node in nodes:
        if node.pid() is None:
            print(f"{node.id}: not running")
    command = [sys.executable, "-m", "raftd.cli.raftctl", "--endpoints", ",".join(endpoints(nodes))]
    environment = {**os.environ, **_credentials(local)}
    return subprocess.run([*command, "status"], env=environment, check=False).returncode


def _start(local: Local, arguments: argparse.Namespace) -> int:
    node = local.one(arguments.node)
    _check_ports([node])
    for dead in _dead([node]):
        dead.start()
    nodes = local.existing()
    up, needed = sum(other.pid() is not None for other in nodes), len(nodes) // 2 + 1
    if up < needed:
        wait_until(lambda: _alive(node), 30, f"{node.id} to be there", [node])
        print(f"{node.id} runs, and waits: {up} of {len(nodes)} do, a leader needs {needed}")
    else:
        wait_until(lambda: _settled(node), 30, f"{node.id} to serve", [node])
    return 0


def _alive(node: Node) -> bool:
    """Its client port is open; the admin port answers before that."""
    if node.pid() is None:
        raise NodeTrouble(f"{node.id} ended at once; its log says:\n{node.log_tail()}")
    try:
        socket.create_connection(("127.0.0.1", node.ports.client), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(local: Local, arguments: argparse.Namespace) -> int:
    local.one(arguments.node).stop()
    return 0


def _kill(local: Local, arguments: argparse.Namespace) -> int:
    local.one(arguments.node).kill()
    return 0


def _pause(local: Local, arguments: argparse.Namespace) -> int:
    local.one(arguments.node).pause()
    return 0


def _resume(local: Local, arguments: argparse.Namespace) -> int:
    local.one(arguments.node).resume()
    return 0


if __name__ == "__main__":
    sys.exit(main())
