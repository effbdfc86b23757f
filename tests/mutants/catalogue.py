"""All planted bugs, by room."""

from __future__ import annotations

from tests.mutants.answering import ANSWERING
from tests.mutants.elections import ELECTIONS
from tests.mutants.members import MEMBERS
from tests.mutants.planted import FIRST_TEN, Mutant
from tests.mutants.rare import RARE
from tests.mutants.reading import READING
from tests.mutants.replication import REPLICATION
from tests.mutants.sending import SENDING
from tests.mutants.shell import SHELL
from tests.mutants.store import STORE
from tests.mutants.store_auth import AUTH
from tests.mutants.storing import STORING

_ALL = (
    *ELECTIONS,
    *MEMBERS,
    *REPLICATION,
    *STORING,
    *ANSWERING,
    *SHELL,
    *RARE,
    *READING,
    *SENDING,
    *STORE,
    *AUTH,
)

MUTANTS: tuple[Mutant, ...] = tuple(
    sorted(_ALL, key=lambda mutant: (mutant.name not in FIRST_TEN, _ALL.index(mutant)))
)
"""The ten that every change must catch come first."""
