"""Nonsense of every kind against one live cluster: one clear line each, and nothing is lost."""
