"""What members compare of replicated objects: equal for whoever applied and whoever restored."""

from __future__ import annotations

from io import BytesIO

from raftd import objects as ro
from raftd.objects.checking import LocalChannel
from raftd.objects.machine import ObjectsMachine


@ro.replicated
class Account:
    """total: an integer is as good as a float to Python."""

    total: float = 0
    count: int = 0

    @ro.command
    def add(self, amount: int) -> float:
        self.total += amount
        self.count += 1
        return self.total

    @ro.command
    def spoil(self) -> None:
        self.count = "none"  # type: ignore[assignment]


class Bank(ro.Objects):
    account = Account()


def parts(machine: ObjectsMachine) -> list[tuple[str, bytes]]:
    return [(name, b"".join(chunks)) for name, chunks in machine.parts()]


def test_who_restored_a_snapshot_has_the_same_as_who_applied_the_commands() -> None:
    channel = LocalChannel(Bank)
    Bank(channel).account.add(3)
    restored = ObjectsMachine(Bank.declared)
    restored.restore(BytesIO(b"".join(channel.machine.capture())))
    assert parts(restored) == parts(channel.machine)
    other = LocalChannel(Bank)
    Bank(other).account.add(4)
    assert parts(other.machine) != parts(channel.machine)


def test_what_nobody_could_restore_is_compared_as_it_is() -> None:
    machines = []
    for _ in range(2):
        channel = LocalChannel(Bank)
        Bank(channel).account.spoil()
        machines.append(channel.machine)
    assert parts(machines[0]) == parts(machines[1])
