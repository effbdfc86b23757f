"""State machines: the protocol for yours, sessions round any of them, the built-in store (kv)."""
