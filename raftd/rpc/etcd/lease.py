"""etcdserverpb.Lease: grant, revoke, renew, look at leases. Network thread only."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from raftd._pb import etcd_pb2 as pb
from raftd.rpc.etcd.backend import Backend
from raftd.rpc.etcd.calls import Caller, Conversation
from raftd.rpc.etcd.faults import fault
from raftd.rpc.etcd.header import Headers
from raftd.rpc.etcd.long_answers import LongAnswers
from raftd.wire import leases as wire
from raftd.wire.principal import NOBODY, OWN

LEASES_AT_ONCE = 1000
LEASE_BITS = 63
"""A number that the server draws is positive."""


class LeaseService:
    def __init__(
        self,
        backend: Backend,
        headers: Headers,
        draw: Callable[[int], int],
        ttl_min_s: int,
        long: LongAnswers | None = None,
    ) -> None:
        """draw: random bits, as many as are asked for. ttl_min_s: a shorter one is made this long.
        long: of all services.

        A lease must outlive an election, or every change of the leader would end it.
        """
        self._long = long or LongAnswers()
        self._backend = backend
        self._headers = headers
        self._draw = draw
        self._ttl_min_s = ttl_min_s

    async def LeaseGrant(
        self, request: pb.LeaseGrantRequest, caller: Caller
    ) -> pb.LeaseGrantResponse:
        if request.TTL > wire.TTL_MAX:
            raise fault("lease_ttl_too_large")
        lease = request.ID or self._draw(LEASE_BITS) or 1
        ttl_s = max(request.TTL, self._ttl_min_s)
        answer = await self._backend.write(wire.encode_lease_grant(lease, ttl_s), caller.principal)
        revision, granted_s = wire.decode_grant_answer(answer)
        return pb.LeaseGrantResponse(header=self._headers.make(revision), ID=lease, TTL=granted_s)

    async def LeaseRevoke(
        self, request: pb.LeaseRevokeRequest, caller: Caller
    ) -> pb.LeaseRevokeResponse:
        if not request.ID:
            raise fault("lease_not_found")
        answer = await self._backend.write(wire.encode_lease_revoke(request.ID), caller.principal)
        revision = wire.decode_revoke_answer(answer).revision
        return pb.LeaseRevokeResponse(header=self._headers.make(revision))

    async def LeaseKeepAlive(self, talk: Conversation) -> None:
        """One answer a request. An unknown lease is no error: its answer has the TTL 0."""
        while (request := await talk.receive()) is not None:
            await talk.send(await self.renew(request.ID, talk.caller.principal))

    async def renew(self, lease: int, principal: bytes = NOBODY) -> pb.LeaseKeepAliveResponse:
        """Raises Fault."""
        if not lease:
            answer = await self._backend.read(wire.encode_status(), True, OWN)
            status = wire.decode_status_answer(answer)
            return self._renewed(status.revision, 0, 0)
        answer = await self._backend.ask_leader(wire.encode_lease_renew(lease), principal)
        revision, ttl_s = wire.decode_renew_answer(answer)
        return self._renewed(revision, lease, ttl_s)

    def _renewed(self, revision: int, lease: int, ttl_s: int) -> pb.LeaseKeepAliveResponse:
        header = self._headers.make(revision)
        return pb.LeaseKeepAliveResponse(header=header, ID=lease, TTL=ttl_s)

    async def LeaseTimeToLive(
        self, request: pb.LeaseTimeToLiveRequest, caller: Caller
    ) -> pb.LeaseTimeToLiveResponse:
        if not request.ID:
            raise fault("lease_not_found")
        query = wire.encode_lease_time_to_live(request.ID, request.keys)
        answer = await self._backend.ask_leader(query, caller.principal)
        found = wire.decode_time_to_live_answer(answer)
        return pb.LeaseTimeToLiveResponse(
            header=self._headers.make(found.revision),
            ID=request.ID,
            TTL=found.ttl_s,
            grantedTTL=found.granted_s,
            keys=found.keys,
        )

    async def LeaseLeases(
        self, request: pb.LeaseLeasesRequest, caller: Caller
    ) -> pb.LeaseLeasesResponse:
        answer = await self._backend.read(wire.encode_lease_list(), False, caller.principal)
        revision, leases = wire.decode_list_answer(answer)
        response = pb.LeaseLeasesResponse(header=self._headers.make(revision))
        return await self._long.made(_listed(response, leases), len(answer))


def _listed(
    response: pb.LeaseLeasesResponse, leases: Sequence[int]
) -> Generator[None, None, pb.LeaseLeasesResponse]:
    """Gives way now and then."""
    for at in range(0, len(leases), LEASES_AT_ONCE):
        if at:
            yield
        some = leases[at : at + LEASES_AT_ONCE]
        response.leases.extend([pb.LeaseStatus(ID=lease) for lease in some])
    return response
