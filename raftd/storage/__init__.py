"""Files: the write-ahead log, snapshots, whose they are. The door: `directory.open_directory`."""
