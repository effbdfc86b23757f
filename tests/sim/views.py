"""What the checkers know: one view a node, and the facts of the whole cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raftd.core.types import Configuration, Index, NodeId, Role, Term, Write
from tests.machine.naive import Naive
from tests.sim.model import Model
from tests.sim.plan import Plan
from tests.sim.shadow import Chains, Shadow
from tests.sim.world import Violation, World


class NodeView:
    """What the checkers know about one node."""

    def __init__(self, name: NodeId, tables: Chains) -> None:
        self.name = name
        self.memory = Shadow(tables)
        self.disk = Shadow(tables)
        self.pending: list[Write] = []
        self.synced_seq = 0
        self.released: list[tuple[float, Index]] = []
        """When, and up to where, this life's core has let its log go."""
        self.given_up = 0
        """The number of a write that an orderly stop found no room for."""
        self.role = Role.FOLLOWER
        self.term: Term = 0
        self.commit: Index = 0
        self.applied: Index = 0
        self.led_from: Index = 0
        self.wiped = False
        self.joins = False
        self.changes: list[tuple[Index, Index]] = []
        """Configurations appended as a leader in this call, and since when the one before held."""
        self.configuration: Configuration | None = None
        """In force by its log when its core was last looked at."""
        self.followed: Configuration | None = None
        """What its core went by then: another object, of equal content."""
        self.sent_to: dict[tuple[NodeId, Term], Index] = {}
        self.up = False


class Facts:
    """Leaders, votes and the one committed log, as far as anybody has seen them."""

    def __init__(self, world: World, configuration: Configuration, plan: Plan) -> None:
        self._world = world
        self._settings = plan.settings
        self._model = Model(world.stats, plan.sessions_max)
        self.tables = Chains(configuration)
        self.majority = len(configuration.voters) // 2 + 1
        """Of the first voters."""
        self.views = {name: NodeView(name, self.tables) for name in configuration.members()}
        self.leaders: dict[Term, NodeId] = {}
        self.votes: dict[tuple[NodeId, Term], NodeId] = {}
        self.committed: list[int] = [0]
        """Chain by index: the one committed log."""
        self.committed_by = configuration
        """Whose majority holds the last committed entry: in force for its leader at that moment."""
        self.commit_by_term: dict[Term, Index] = {}
        self.results: dict[Index, bytes] = {}
        self.payloads: dict[Index, bytes] = {}
        self.digests: dict[Index, bytes] = {}

    @property
    def made(self) -> Mapping[tuple[bytes, int], int]:
        """By session and number: the revision that a command in the log made; 0 for none."""
        return self._model.made

    def joins(self, name: NodeId) -> None:
        """A node with an empty disk starts beside the cluster."""
        self.views[name] = NodeView(name, self.tables)
        self.views[name].joins = True

    def configurations_held(self) -> list[Configuration]:
        """Every one that is in force on some disk, or in some memory, and the committed one."""
        held = [self.tables.configurations[self.committed[-1]]]
        for view in self.views.values():
            if not (view.joins and not view.memory.last):
                held += [view.memory.configuration, view.disk.configuration]
        return list(dict.fromkeys(held))

    @property
    def store(self) -> Naive:
        """What the committed log says, up to the newest entry that anybody has applied."""
        return self._model.store

    def tell_foreign(self, told: Callable[[bytes, int, bool], None]) -> None:
        """Have `told` called for each command that no client of the history sent."""
        self._model.foreign = told

    def fail(self, name: str, detail: str) -> None:
        raise Violation(name, detail)

    def _vote(self, name: NodeId, term: Term, candidate: NodeId) -> None:
        known = self.votes.setdefault((name, term), candidate)
        if known != candidate:
            self.fail(
                "one-vote-per-term", f"{name} voted for {known} and {candidate} in term {term}"
            )
