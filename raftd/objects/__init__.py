"""Replicated objects: a dict, a counter, a set, a queue, a lock, and classes of your own.

    from raftd.objects import Counter, Dict, Objects

    class Shop(Objects):
        stock = Dict[str, int]()
        orders = Counter()

    with Shop.open(config) as shop:             # a node in this process; or Shop.connect(...)
        shop.stock["chair"] = 4                 # on the disks of a majority when it returns
        number = shop.orders.add()              # exactly once, also when the leader dies meanwhile
        number = await shop.orders.add.aio()    # the same in an event loop

A class of your own is written like a dataclass, under `@replicated`, with its methods under
`@command` and `@query`. docs/embedding.md has the rules. Needs msgspec: `pip install
raftd[objects]`.
"""

from __future__ import annotations

try:
    import msgspec as _msgspec
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "raftd.objects needs msgspec: pip install 'raftd[objects]'", name="msgspec"
    ) from missing

from raftd.objects.checking import check_objects as check_objects
from raftd.objects.checking import local as local
from raftd.objects.declaring import replicated as replicated
from raftd.objects.errors import CommandFailed as CommandFailed
from raftd.objects.errors import CommandRefused as CommandRefused
from raftd.objects.errors import DeclarationError as DeclarationError
from raftd.objects.lock import Hold as Hold
from raftd.objects.lock import Lock as Lock
from raftd.objects.methods import command as command
from raftd.objects.methods import query as query
from raftd.objects.objects import Objects as Objects
from raftd.objects.objects import machine_of as machine_of
from raftd.objects.objects import stale as stale
from raftd.objects.structures import Counter as Counter
from raftd.objects.structures import Dict as Dict
from raftd.objects.structures import Queue as Queue
from raftd.objects.structures import Set as Set

del _msgspec
