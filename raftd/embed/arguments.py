"""What a host hands in, looked at before it is used: one line, instead of a failure far from it."""

from __future__ import annotations

from raftd.config import Config, ConfigError
from raftd.config.rules import mistyped, problems
from raftd.machine.protocol import REQUIRED


def check_config(config: object) -> None:
    """Raises TypeError; ConfigError, one line a problem."""
    if not isinstance(config, Config):
        raise TypeError(
            f"config: {config!r}: expected a raftd.config.Config; raftd.config.load reads a file"
        )
    wrong = list(mistyped(config)) or problems(config)
    found = [f"{name}: {what}" for name, what in wrong]
    if found:
        raise ConfigError(found)


def check_machine(machine: object) -> None:
    """Raises TypeError."""
    if isinstance(machine, type):
        name = machine.__name__
        raise TypeError(f"machine: {name} is a class: expected an object of it, {name}()")
    missing = [name for name in REQUIRED if not callable(getattr(machine, name, None))]
    if missing:
        raise TypeError(
            f"machine: {type(machine).__name__} has no {', '.join(missing)} "
            "(raftd/machine/protocol.py)"
        )


def check_bytes(what: str, value: object) -> None:
    """Raises TypeError."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{what}: expected bytes, not {type(value).__name__}")
