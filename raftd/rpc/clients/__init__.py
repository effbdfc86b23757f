"""The client port: commands, queries, the operators' calls, health."""
