"""Switches for gRPC in a program that owns its process: import this before grpc, or not at all.

The daemon, raftctl and our load generators do. The client library does not: the environment, and
how gRPC behaves in a process, belong to the application. One that wants the same may import it.

gRPC's own threads for outgoing connections cost a quarter of one put's latency with the defaults
of grpcio 1.85: they are off. Those for incoming ones stay on: without them one thread reads all
sockets, and a connection that floods keeps it from all others, the leader's own heartbeats too.
The switches may go away in a later release. Fork support is off because no process of ours forks
once gRPC runs. What the user has set stays as it is.
"""

from __future__ import annotations

import os

EXPERIMENTS = "-event_engine_client"

os.environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
