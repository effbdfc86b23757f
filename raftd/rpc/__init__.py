"""gRPC: the peers' and the clients' way in, and the way out to the peers."""

import raftd.grpc_env  # noqa: F401  its switches must be set before any module here loads gRPC
