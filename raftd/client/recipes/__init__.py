"""Watches, leases, locks and elections, built of commands: coroutines on the client's loop."""
