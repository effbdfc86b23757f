"""The same two web applications on PySyncObj, as near to the same promises as it allows.

They are here to be compared with, line by line: an order counts once though it is tried again, a
read is no older than the last write, the journal is on disk. What they cannot have: PySyncObj's
journal is flushed, not synced in step with what is acknowledged; and commands are pickled.
"""
