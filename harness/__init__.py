"""Real nodes for whoever needs some: scripts, benches and tests.

Processes on loopback, clusters of them with or without proxies between, containers, writers that
keep book, and the question whether all nodes are in the same state. It imports raftd alone.
"""

from harness.transport import choose_for_clients

choose_for_clients()
