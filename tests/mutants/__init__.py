"""Planted bugs, each named after the rule that it breaks, and the proof that the suite sees them.

`python -m tests.mutants` runs every one against the simulator and the golden conversations, and
prints who caught it after how many seeds. A mutant is a patch of a module's source, made while that
module is imported, in a process of its own: nothing on disk changes.
"""
