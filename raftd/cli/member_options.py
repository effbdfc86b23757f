"""The options of raftctl member; what they do is in raftctl_member.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_to(
    add: Callable[[str, str, str], argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """The command and its actions. common: the options that every command takes."""
    member = add("member", "raftctl_member:run", "list the members, or change them")
    actions = member.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, help: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name, help=help, description=help, parents=[common], allow_abbrev=False
        )

    action("list", "a row for each member, as the leader sees it")
    new = action("add", "take a running node in as a learner (it was started with `join`)")
    _add_id(new)
    _add_addresses(new)
    _add_force(_add_id(action("promote", "make a voter of a learner that has caught up")))
    _add_force(_add_id(action("demote", "make a learner of a voter")))
    _add_force(_add_id(action("remove", "take a node out for good: its id is never used again")))
    replaced = _add_force(_add_id(action("replace", "let a learner take a voter's place at once")))
    replaced.add_argument("by", metavar="BY", help="the learner")
    moved = action("update", "say where a member is now; this counts before the nodes' settings")
    _add_id(moved)
    _add_addresses(moved)


def _add_id(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("id", metavar="ID", help="the node's id")
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    for name, who in (("peer", "other nodes"), ("client", "clients")):
        parser.add_argument(
            f"--{name}", metavar="HOST:PORT", default="", help=f"where {who} reach it"
        )


def _add_force(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if fewer voters are up than are needed then, or the learner lags: the cluster "
        "may stop until they are back",
    )
    return parser
