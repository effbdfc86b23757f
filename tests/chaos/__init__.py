"""Real processes on loopback, a proxy on every connection, faults of all kinds, and a verdict."""
