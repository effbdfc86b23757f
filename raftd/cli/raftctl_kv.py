"""raftctl's commands and queries: the built-in store, and bytes for anybody's machine."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from raftd.cli.raftctl_output import base64_of, printable, show_json, show_raw, show_table
from raftd.client import Client, Invalid
from raftd.client import operations as ops
from raftd.client.operations import Consistency
from raftd.wire import batch, kv

YES = 0
NO = 1
INPUT_BYTES_MAX = batch.COMMAND_BYTES_MAX


def put(args: Namespace, client: Client) -> int:
    lease = lease_id(args.lease) if args.lease is not None else 0
    operation = ops.put(os.fsencode(args.key), _value(args), lease)
    result = client.execute(operation, session=False).answer
    if args.output == "json":
        show_json({"revision": result.revision, "version": result.version})
    else:
        print(f"ok: revision {result.revision}, version {result.version}")
    return YES


def get(args: Namespace, client: Client) -> int:
    if args.prefix:
        return _get_prefix(args, client)
    done = client.execute(ops.get(os.fsencode(args.key), _consistency(args), args.rev))
    result = done.answer
    if args.output == "json":
        found = pair(result.kv) if result.kv else None
        show_json({"revision": result.revision, "applied_index": done.index, "kv": found})
    elif result.kv is not None:
        show_raw(result.kv.value)
    return NO if result.kv is None else YES


def _get_prefix(args: Namespace, client: Client) -> int:
    """Page by page: without --limit all of them, each page at its own revision."""
    kvs: list[kv.KeyValue] = []
    after, revision, applied, more = b"", 0, 0, True
    while more and (not args.limit or len(kvs) < args.limit):
        wanted = args.limit - len(kvs) if args.limit else 0
        done = client.execute(ops.page(os.fsencode(args.key), wanted, after, _consistency(args)))
        page, applied = done.answer, done.index
        kvs += page.kvs
        more, revision = page.more, page.revision
        if not page.kvs:
            break
        after = page.kvs[-1].key
    if args.output == "json":
        pairs = [pair(item) for item in kvs]
        show_json({"revision": revision, "applied_index": applied, "kvs": pairs, "more": more})
    elif kvs:
        rows = [
            (printable(item.key), item.version, item.mod_revision, printable(item.value))
            for item in kvs
        ]
        show_table(("KEY", "VERSION", "MOD_REVISION", "VALUE"), rows)
    return YES if kvs else NO


def delete(args: Namespace, client: Client) -> int:
    result = client.execute(ops.delete(os.fsencode(args.key)), session=False).answer
    if args.output == "json":
        show_json({"revision": result.revision, "deleted": result.deleted})
    else:
        print(f"ok: revision {result.revision}" if result.deleted else "no such key")
    return YES if result.deleted else NO


def cas(args: Namespace, client: Client) -> int:
    if args.delete and (args.value is not None or args.file is not None):
        raise Invalid("cas: give VALUE, --file or --delete, one of them")
    value = None if args.delete else _value(args)
    operation = ops.cas(os.fsencode(args.key), value, _expect(args))
    result = client.execute(operation, session=False).answer
    if args.output == "json":
        current = pair(result.current) if result.current else None
        show_json({"revision": result.revision, "succeeded": result.succeeded, "current": current})
    elif result.succeeded:
        print(f"ok: revision {result.revision}")
    elif result.current is None:
        print("compare failed: the key is absent")
    else:
        now = result.current
        print(
            f"compare failed: the key has version {now.version}, mod_revision {now.mod_revision}, "
            f"value {printable(now.value)}"
        )
    return YES if result.succeeded else NO


def submit(args: Namespace, client: Client) -> int:
    done = client.execute(ops.submit(_value(args)), session=False)
    if args.output == "json":
        show_json({"result_base64": base64_of(done.answer), "index": done.index, "term": done.term})
    else:
        show_raw(done.answer)
    return YES


def query(args: Namespace, client: Client) -> int:
    done = client.execute(ops.query(_value(args), _consistency(args)))
    if args.output == "json":
        show_json({"result_base64": base64_of(done.answer), "applied_index": done.index})
    else:
        show_raw(done.answer)
    return YES


def _consistency(args: Namespace) -> Consistency:
    return "stale" if args.stale else "linearizable"


def lease_id(text: str) -> int:
    """Hexadecimal, as it is shown. Raises Invalid."""
    try:
        number = int(text, 16)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 63:
        raise Invalid(f"lease {text!r}: expected its ID as `lease grant` shows it")
    return number


def _expect(args: Namespace) -> kv.Expect:
    if args.expect_value is not None:
        return kv.expect_value(os.fsencode(args.expect_value))
    if args.expect_version is not None:
        return kv.expect_version(args.expect_version)
    if args.expect_mod_revision is not None:
        return kv.expect_mod_revision(args.expect_mod_revision)
    return kv.expect_absent()


def _value(args: Namespace) -> bytes:
    """From the argument, stdin ("-") or --file; bounded, so that a wrong file does not fill the
    memory.
    """
    if (args.value is None) == (args.file is None):
        raise Invalid(f"{args.command}: give the bytes as an argument ('-': stdin) or with --file")
    if args.file is not None:
        try:
            with open(args.file, "rb") as file:
                return _bounded(file.read(INPUT_BYTES_MAX + 1), args.file)
        except OSError as error:
            raise Invalid(f"--file {args.file}: {error.strerror or error}") from None
    if args.value == "-":
        return _bounded(sys.stdin.buffer.read(INPUT_BYTES_MAX + 1), "stdin")
    return os.fsencode(args.value)


def _bounded(data: bytes, source: str) -> bytes:
    if len(data) > INPUT_BYTES_MAX:
        raise Invalid(f"{source}: more than {INPUT_BYTES_MAX} bytes; split it")
    return data


def pair(item: kv.KeyValue) -> dict[str, object]:
    return {
        "key_base64": base64_of(item.key),
        "value_base64": base64_of(item.value),
        "create_revision": item.create_revision,
        "mod_revision": item.mod_revision,
        "version": item.version,
    }
