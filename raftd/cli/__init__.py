"""The commands `raftd` and `raftctl`."""
