"""The generated modules under the path that protoc gives them: `from raftd.v1 import client_pb2`.

Stubs that a program generates from our .proto files import each other by that path, and this
package is where Python looks for it. The wheel holds the .proto files under raftd/protos.
"""

from __future__ import annotations

import sys

from raftd._pb import (
    admin_pb2,
    admin_pb2_grpc,
    client_pb2,
    client_pb2_grpc,
    raft_pb2,
    raft_pb2_grpc,
)

__all__ = [
    "admin_pb2",
    "admin_pb2_grpc",
    "client_pb2",
    "client_pb2_grpc",
    "raft_pb2",
    "raft_pb2_grpc",
]

sys.modules.update({f"{__name__}.{name}": globals()[name] for name in __all__})
