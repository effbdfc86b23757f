"""Whom the clients say they are, where they are asked. The user may do everything to what they use,
and nothing to FORBIDDEN.
"""

NAME, PASSWORD = "ann", "correct horse battery"
FIRST, BEHIND = "/", "~"
FORBIDDEN = "~forbidden"
