"""The flags that every command with a configuration shares: --config, --set and one per setting."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from raftd.config import SETTINGS, ConfigError, Loaded, load


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} [--config FILE] [--set KEY=VALUE ...] [--SETTING VALUE ...]"
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get("RAFTD_CONFIG") or None,
        help="the node's YAML file (or RAFTD_CONFIG)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="pairs",
        help="set one setting; may be given many times",
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for row in SETTINGS.values():
        group = groups.setdefault(row.group, parser.add_argument_group(row.group))
        default = row.kind.render(row.default)
        text = f"{row.why} [{row.kind.name}" + (f", default {default}]" if default else "]")
        group.add_argument(
            row.flag, metavar="VALUE", dest=f"setting.{row.name}", help=text.replace("%", "%%")
        )


def read(arguments: argparse.Namespace) -> Loaded:
    """Raises ConfigError."""
    flags: dict[str, str] = {}
    for pair in arguments.pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError([f"--set: {pair!r}: expected KEY=VALUE"])
        flags[key.strip()] = value
    for name in SETTINGS:
        value = getattr(arguments, f"setting.{name}")
        if value is not None:
            flags[name] = value
    path = Path(arguments.config) if arguments.config else None
    return load(path, os.environ, flags, Path.cwd())
