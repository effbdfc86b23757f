"""A raftd node inside your own program: your state machine, your process, no daemon.

    from raftd.config import Config, Peer
    from raftd.embed import RaftNode

    peers = {"n1": Peer("host1:7001", "host1:7002"), "n2": ...}
    node = RaftNode(Config(id="n1", data_dir="n1-data", peers=peers), Counter())
    node.start()
    node.wait_for_leader(timeout=5)
    node.submit(b"up").result(5)      # from any thread; or `await node.submit(b"up")`
    node.stop()

docs/embedding.md says what the node owes its host, and what the host owes the node.
"""

from raftd.embed.calls import AnswerTooLong as AnswerTooLong
from raftd.embed.calls import Call as Call
from raftd.embed.calls import MachineRefused as MachineRefused
from raftd.embed.calls import NotDone as NotDone
from raftd.embed.calls import NotLeader as NotLeader
from raftd.embed.calls import OutcomeUnknown as OutcomeUnknown
from raftd.embed.node import Events as Events
from raftd.embed.node import RaftNode as RaftNode
from raftd.embed.opening import CannotStart as CannotStart
