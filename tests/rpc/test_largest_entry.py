"""What a leader lets into its log every follower takes, or nothing behind it is ever committed."""

from __future__ import annotations

from raftd._pb import raft_pb2 as pb
from raftd.core import messages as m
from raftd.core.types import Entry, EntryType
from raftd.rpc.peers import codec
from raftd.wire import batch

ENVELOPE = pb.Envelope(cluster="c", sender="n1", addressee="n2")


def test_the_largest_batch_that_the_door_takes_gets_to_every_peer() -> None:
    """A follower that refuses an entry refuses all behind it: a client's batch of 4 MiB, which with
    the leader's note was larger than a peer took, ended all writes while that leader led.
    """
    room = batch.BATCH_BYTES_MAX - batch.HEADER.size - 3 * batch.COMMAND_HEAD.size
    commands = [(0, bytes(room // 3)), (0, bytes(room // 3)), (0, bytes(room - 2 * (room // 3)))]
    payload = batch.encode_batch(b"", 0, commands)
    assert len(payload) == batch.BATCH_BYTES_MAX
    assert batch.check_batch(payload) == 3
    noted = batch.noted(payload, 2**64 - 1, bytes(batch.PRINCIPAL_BYTES_MAX))
    assert len(noted) <= 4 << 20, "peers of an older version take no more"
    for largest in (noted, bytes(batch.ENTRY_BYTES_MAX)):  # the other one: of an older log
        request = m.AppendRequest(1, "n1", 0, 0, (Entry(1, 1, EntryType.BATCH, largest),), 0, 1)
        message = codec.encode_append(request, ENVELOPE).SerializeToString()
        assert codec.decode_append(pb.AppendRequest.FromString(message), "n1") == request
