"""Every decoder under bytes that nobody's encoder made: see tests/fuzz/target.py."""
