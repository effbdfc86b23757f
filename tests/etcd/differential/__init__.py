"""The same seeded requests at a real etcd and at raftd; every answer, error and event compared."""
