"""raftctl's lease, lock and elect."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from argparse import Namespace

from raftd.cli.raftctl_kv import lease_id
from raftd.cli.raftctl_output import base64_of, complain, printable, show_json
from raftd.client import Client, Invalid, MachineError
from raftd.client import operations as ops
from raftd.client.recipes.leases import draw_id
from raftd.client.recipes.locks import Leader, Ownership
from raftd.wire.refusals import LEASE_NOT_FOUND

YES = 0
NO = 1
LOST = 4
"""The lock was lost while the program ran: perhaps it did something without it."""
STOP_SECONDS = 5.0
"""A program that lost its lock gets SIGTERM, and after so long SIGKILL."""
NOT_STARTED = 127


# -- leases -----------------------------------------------------------------------------------


def lease(args: Namespace, client: Client) -> int:
    actions = {
        "grant": _grant, "revoke": _revoke, "ttl": _time_to_live, "keep-alive": _keep_alive,
        "list": _list,
    }  # fmt: skip
    if (args.action == "list") == bool(args.what):
        wanted = {"list": "nothing", "grant": "SECONDS"}.get(args.action, "ID")
        raise Invalid(f"lease {args.action}: takes {wanted} after it")
    return actions[args.action](args, client)


def _grant(args: Namespace, client: Client) -> int:
    if not args.what.isdecimal():
        raise Invalid(f"lease grant {args.what!r}: expected whole seconds")
    number = draw_id()
    granted = client.execute(ops.lease_grant(number, int(args.what)), session=False).answer
    if args.output == "json":
        show_json({"lease": f"{number:x}", "ttl_s": granted.ttl_s, "revision": granted.revision})
    else:
        print(f"lease {number:x} granted for {granted.ttl_s} s")
    return YES


def _revoke(args: Namespace, client: Client) -> int:
    try:
        done = client.execute(ops.lease_revoke(lease_id(args.what)), session=False).answer
    except MachineError as error:
        return _absent(error)
    if args.output == "json":
        show_json({"revision": done.revision, "deleted": done.deleted})
    else:
        print(f"ok: {done.deleted} keys deleted")
    return YES


def _time_to_live(args: Namespace, client: Client) -> int:
    number = lease_id(args.what)
    found = client.execute(ops.lease_time_to_live(number, args.keys)).answer
    if args.output == "json":
        keys = [base64_of(key) for key in found.keys]
        show_json({"ttl_s": found.ttl_s, "granted_s": found.granted_s, "keys_base64": keys})
    elif found:
        print(f"lease {number:x}: {found.ttl_s} s left of {found.granted_s} s")
        for key in found.keys:
            print(printable(key))
    else:
        print("no such lease")
    return YES if found else NO


def _keep_alive(args: Namespace, client: Client) -> int:
    """Once each third of its time, until it ends or an interrupt."""
    number = lease_id(args.what)
    while renewed := client.execute(ops.lease_renew(number)).answer:
        if args.output == "json":
            show_json({"lease": f"{number:x}", "ttl_s": renewed.ttl_s})
        else:
            print(f"lease {number:x}: {renewed.ttl_s} s", flush=True)
        threading.Event().wait(renewed.ttl_s / 3)
    print("no such lease")
    return NO


def _list(args: Namespace, client: Client) -> int:
    found = client.execute(ops.lease_list()).answer
    if args.output == "json":
        show_json({"leases": [f"{number:x}" for number in found.leases]})
    else:
        for number in found.leases:
            print(f"{number:x}")
    return YES


def _absent(error: MachineError) -> int:
    if LEASE_NOT_FOUND not in error.message:
        raise error
    print("no such lease")
    return NO


# -- locks ------------------------------------------------------------------------------------


def lock(args: Namespace, client: Client) -> int:
    """The program's exit code, if there is one; 128 + n if signal n ended it."""
    lost = threading.Event()
    held = client.lock(
        os.fsencode(args.name), _whole_seconds(args.ttl), on_lost=lambda _: lost.set()
    )
    owner = held.acquire(args.wait)
    if owner is None:
        complain(f"lock {args.name}: others held it for {args.wait:g} s")
        return NO
    try:
        if args.program:
            return _run(args, owner, lost)
        _show_owner(args, owner)
        lost.wait()
        complain(f"lock {args.name}: it was lost")
        return LOST
    finally:
        held.release()


def _run(args: Namespace, owner: Ownership, lost: threading.Event) -> int:
    environment = {
        **os.environ,
        "RAFTCTL_LOCK_KEY": os.fsdecode(owner.key),
        "RAFTCTL_LOCK_TOKEN": str(owner.token),
    }
    try:
        program = subprocess.Popen(args.program, env=environment)
    except OSError as error:
        complain(f"{args.program[0]}: {error.strerror}")
        return NOT_STARTED
    # An interrupt at the terminal reaches the program, too: it decides, and we wait for it.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: program.terminate()),
    }
    ended = threading.Event()
    guard = threading.Thread(target=_stop_if_lost, args=(program, lost, ended), daemon=True)
    guard.start()
    try:
        code = program.wait()
    finally:
        ended.set()
        lost_meanwhile = lost.is_set()
        lost.set()
        guard.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    if lost_meanwhile:
        complain(f"lock {args.name}: it was lost, and the program was stopped")
        return LOST
    return 128 - code if code < 0 else code


def _stop_if_lost(
    program: subprocess.Popen[bytes], lost: threading.Event, ended: threading.Event
) -> None:
    lost.wait()
    if not ended.is_set():
        program.terminate()
        if not ended.wait(STOP_SECONDS):
            program.kill()


def _show_owner(args: Namespace, owner: Ownership) -> None:
    if args.output == "json":
        show_json({"key_base64": base64_of(owner.key), "token": owner.token})
    else:
        print(f"held: key {printable(owner.key)}, token {owner.token}", flush=True)


# -- elections --------------------------------------------------------------------------------


def elect(args: Namespace, client: Client) -> int:
    lost = threading.Event()
    election = client.election(
        os.fsencode(args.name), _whole_seconds(args.ttl), on_lost=lambda _: lost.set()
    )
    if args.observe:
        with election.observe() as leaders:
            for leader in leaders:
                _show_leader(args, leader)
        return YES
    if args.value is None:
        now = election.leader()
        _show_leader(args, now)
        return YES if now else NO
    leadership = election.campaign(os.fsencode(args.value))
    try:
        _show_owner(args, leadership)
        lost.wait()
        complain(f"election {args.name}: the leadership was lost")
        return LOST
    finally:
        leadership.resign()


def _show_leader(args: Namespace, leader: Leader | None) -> None:
    if args.output == "json":
        fields = None
        if leader is not None:
            fields = {
                "key_base64": base64_of(leader.key),
                "value_base64": base64_of(leader.value),
                "token": leader.token,
            }
        show_json({"leader": fields})
    elif leader is None:
        print("nobody leads", flush=True)
    else:
        print(f"{printable(leader.value)} leads: key {printable(leader.key)}, "
              f"token {leader.token}", flush=True)  # fmt: skip


def _whole_seconds(seconds: float) -> int:
    return max(1, round(seconds))
