"""Tests of raftd/backup: whole clusters out of what is left of others."""
