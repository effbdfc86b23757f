"""Fields of a history's records: each is read by its type, or refused with its name."""

from __future__ import annotations

import base64
from typing import Any, Final

from raftd.check.operations import Item

TIME_MAX: Final = 1e300


class HistoryError(Exception):
    """A history that cannot be judged. The message names line and field."""


def item_of(record: Any) -> Item:
    """A key as an answer shows it."""
    if not isinstance(record, dict):
        raise HistoryError(f"{record!r}: expected an object with a value")
    return Item(
        data(record, "value"),
        count(record, "version"),
        count(record, "mod_revision"),
        count(record, "create_revision"),
        count(record, "lease"),
    )


def data(record: dict[str, Any], name: str) -> bytes:
    if name not in record:
        raise HistoryError(f"{name}: missing")
    return decoded(record[name], name)


def decoded(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except ValueError as error:
            raise HistoryError(f"{name}: {error}") from None
    raise HistoryError(f'{name}: expected text or {{"base64": "..."}}, not {value!r}')


def count(record: dict[str, Any], name: str, default: int | None = None) -> int | None:
    value = record.get(name, default)
    return None if value is None else whole(name, value)


def whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise HistoryError(f"{name}: expected a number from 0 on, not {value!r}")
    return value


def flag(record: dict[str, Any], name: str) -> bool | None:
    value = record.get(name)
    if value is not None and not isinstance(value, bool):
        raise HistoryError(f"{name}: expected true or false, not {value!r}")
    return value


def time_of(record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise HistoryError(f"{name}: expected a time, not {value!r}")
    if not -TIME_MAX <= value <= TIME_MAX:  # so neither NaN nor Infinity
        raise HistoryError(f"{name}: {value} is no time")
    return value
