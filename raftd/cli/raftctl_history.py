"""raftctl's watch, txn and compact."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace

from raftd.cli.raftctl_kv import pair
from raftd.cli.raftctl_output import base64_of, printable, show_json
from raftd.client import Client, Invalid
from raftd.client import operations as ops
from raftd.client import txn as made
from raftd.client.recipes.watch import WatchEvent
from raftd.client.txn import DeleteAnswer, PutAnswer, RangeAnswer
from raftd.client.txn import operation as txn_operation
from raftd.wire.txn_answers import Response
from raftd.wire.txn_types import Compare, Op, Txn

YES = 0
NO = 1
FIELDS = {
    "version": made.version,
    "create": made.create_revision,
    "mod": made.mod_revision,
    "lease": made.lease,
}


def watch(args: Namespace, client: Client) -> int:
    """Until `--count` events have come, or an interrupt."""
    key = os.fsencode(args.key)
    seen = 0
    with client.watch(
        None if args.prefix else key,
        prefix=key if args.prefix else None,
        start_revision=args.rev,
        previous=args.prev,
    ) as events:
        for event in events:
            _show_event(event, json=args.output == "json")
            seen += 1
            if seen == args.count:
                break
    return YES


def _show_event(event: WatchEvent, *, json: bool) -> None:
    if json:
        fields: dict[str, object] = {
            "type": "delete" if event.deleted else "put",
            "revision": event.revision,
            "key_base64": base64_of(event.key),
        }
        if not event.deleted:
            fields |= {"value_base64": base64_of(event.value), "version": event.version}
            fields |= {"create_revision": event.create_revision, "lease": event.lease}
        if event.previous is not None:
            fields["previous"] = pair(event.previous)
        show_json(fields)
    else:
        words = [str(event.revision), "delete" if event.deleted else "put", printable(event.key)]
        words += [] if event.deleted else [printable(event.value)]
        words += [f"(before: {printable(event.previous.value)})"] if event.previous else []
        print(*words)
    sys.stdout.flush()


def txn(args: Namespace, client: Client) -> int:
    """Exit 0 if `--then` was done, 1 if `--else` was."""
    asked = Txn(
        tuple(_compare(text) for text in args.when),
        tuple(_operation(text) for text in args.then),
        tuple(_operation(text) for text in args.otherwise),
    )
    done = client.execute(txn_operation(asked), session=False).answer
    if args.output == "json":
        responses = [_response_json(response) for response in done.responses]
        show_json({"revision": done.revision, "succeeded": done.succeeded, "responses": responses})
    else:
        print(f"{'ok' if done else 'compare failed'}: revision {done.revision}")
        for line in (line for response in done.responses for line in _response_lines(response)):
            print(line)
    return YES if done else NO


def compact(args: Namespace, client: Client) -> int:
    done = client.execute(ops.compact(args.revision), session=False).answer
    if args.output == "json":
        show_json({"revision": done.revision, "compacted": done.compacted})
    else:
        print(f"ok: the history begins with revision {done.compacted}")
    return YES


def _compare(text: str) -> Compare:
    words = _words("--when", text)
    if len(words) == 2 and words[0] in ("exists", "absent"):
        key = os.fsencode(words[1])
        return made.exists(key) if words[0] == "exists" else made.absent(key)
    if len(words) == 4 and words[0] == "value":
        value, given = made.value(os.fsencode(words[1])), os.fsencode(words[3])
        results = {
            "=": value == given,
            "!=": value != given,
            "<": value < given,
            ">": value > given,
        }
    elif len(words) == 4 and words[0] in FIELDS and words[3].isdecimal():
        field, number = FIELDS[words[0]](os.fsencode(words[1])), int(words[3])
        results = {
            "=": field == number, "!=": field != number, "<": field < number, ">": field > number,
        }  # fmt: skip
    else:
        results = {}
    compare = results.get(words[2]) if results else None
    if compare is None:
        raise Invalid(
            f"--when {text!r}: expected 'value KEY = X', 'version KEY > 3' (create, mod, lease; "
            "=, !=, <, >), 'exists KEY' or 'absent KEY'"
        )
    return compare


def _operation(text: str) -> Op:
    words = [os.fsencode(word) for word in _words("--then, --else", text)]
    if len(words) == 3 and words[0] == b"put":
        return made.put(words[1], words[2])
    if len(words) == 2 and words[0] == b"get":
        return made.get(words[1])
    if len(words) == 2 and words[0] == b"delete":
        return made.delete(words[1])
    raise Invalid(f"operation {text!r}: expected 'put KEY VALUE', 'get KEY' or 'delete KEY'")


def _words(option: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Invalid(f"{option} {text!r}: {error}") from None


def _response_json(response: Response) -> dict[str, object]:
    if isinstance(response, RangeAnswer):
        return {"kvs": [pair(item) for item in response.kvs], "more": response.more}
    if isinstance(response, DeleteAnswer):
        return {"deleted": response.deleted}
    return {"put": isinstance(response, PutAnswer)}


def _response_lines(response: Response) -> list[str]:
    if isinstance(response, RangeAnswer):
        lines = [f"{printable(item.key)} {printable(item.value)}" for item in response.kvs]
        return lines or ["(absent)"]
    if isinstance(response, DeleteAnswer):
        return [f"deleted {response.deleted}"]
    return ["put"]
