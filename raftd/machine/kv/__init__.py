"""The built-in state machine: a key-value store with etcd's revision rules."""
