"""All scenarios by name, and which of them take seconds of a core."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.mit import test_2a, test_2b, test_2c, test_2d, test_3a, test_3b

Scenario = Callable[[int], None]

PARTS: dict[str, ModuleType] = {
    "2A": test_2a,
    "2B": test_2b,
    "2C": test_2c,
    "2D": test_2d,
    "3A": test_3a,
    "3B": test_3b,
}

HEAVY = frozenset(
    {
        "test_reliable_churn_2c",
        "test_concurrent_3a",
        "test_many_partitions_many_clients_3a",
        "test_persist_concurrent_3a",
        "test_persist_concurrent_unreliable_3a",
        "test_persist_partition_3a",
        "test_persist_partition_unreliable_linearizable_3a",
        "test_snapshot_recover_many_clients_3b",
        "test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b",
    }
)


def scenarios(part: str) -> dict[str, Scenario]:
    """Name to function, in the order of the labs."""
    module = PARTS[part]
    found = {name: make for name, make in vars(module).items() if name.startswith("test_")}
    return {name: make for name, make in found.items() if make.__module__ == module.__name__}
