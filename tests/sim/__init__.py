"""A deterministic simulator: the core, storage, sessions and store that ship, under simulated
faults.

One thread, one seed, no wall clock. `python -m tests.sim --seed 42 --seeds 1` runs one cluster
through its faults and judges it; the same seed gives the same trace, byte for byte.
"""
