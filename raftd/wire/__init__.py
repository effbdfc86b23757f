"""Codecs of the bytes inside log entries: command batches and the built-in store's commands.

Pure standard library, no I/O, safe on any thread. Imported by both ends, imports nothing of ours.
"""
