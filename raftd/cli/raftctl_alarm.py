"""raftctl's alarm."""

from __future__ import annotations

from argparse import Namespace

from raftd.cli.raftctl_output import show_json
from raftd.client import Client
from raftd.client import operations as ops
from raftd.wire.alarms import AlarmsResult, Kind

YES = 0


def alarm(args: Namespace, client: Client) -> int:
    """List the alarms of the store, or clear them and list what is left."""
    found = client.execute(ops.alarms()).answer
    if args.action == "disarm":
        for kind in sorted({raised.kind for raised in found.alarms}):
            found = client.execute(ops.clear_alarm(Kind(kind)), session=False).answer
    show(args, found)
    return YES


def show(args: Namespace, found: AlarmsResult) -> None:
    if args.output == "json":
        alarms = [{"kind": raised.kind.name, "member": raised.member} for raised in found.alarms]
        show_json({"revision": found.revision, "alarms": alarms})
    elif found:
        for raised in found.alarms:
            print(f"{raised.kind.name} {raised.member}")
    else:
        print("no alarms")
