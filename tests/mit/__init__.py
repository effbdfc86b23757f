"""The tests of MIT's 6.824 labs (Raft 2A-2D, kvraft 3A and 3B), re-implemented for raftd.

Every scenario has its own name and its own numbers (RPC counts, byte limits, log sizes, times). It
runs in the simulator, on the core, log, snapshots, sessions and store that ship, in virtual time
and under every checker of tests/sim; `python -m tests.mit --seeds 20` runs all of them, over many
seeds. Ten also run on real processes with a proxy on every edge: `python -m tests.mit --real`.
"""
