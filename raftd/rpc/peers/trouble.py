"""Why a peer does not answer, kept for whoever asks this node what is wrong."""

from __future__ import annotations

TROUBLE_SECONDS = 2.0
"""From the first of the calls that failed to the last: by then a restart on the same machine would
be over.
"""

LATELY_SECONDS = 5.0
"""A call failed so lately: who calls nobody any more knows nothing new."""

REASON_MAX = 240

_SILENCE = "no answer in time; is the node paused, or the network cut?"

_KNOWN = {
    "connection refused": "nothing listens there; is the node up, and the address right?",
    "connect call failed": "nothing listens there; is the node up, and the address right?",
    "certificate has expired": "its certificate has expired",
    "certificate expired": "this node's certificate has expired",
    "certificate revoked": "a certificate has been revoked",
    "unable to get local issuer certificate": "its certificate is not of the authority in peer_ca",
    "unable to get issuer certificate": "its certificate is not of the authority in peer_ca",
    "unknown ca": "this node's certificate is not of the authority that it knows",
    "self signed certificate": "its certificate is not of the authority in peer_ca",
    "certificate verify failed": "its certificate is not the one of that node, or not of the "
    "authority in peer_ca, or has expired",
    "wrong version number": "one side speaks TLS and the other one does not",
    "record layer failure": "one side speaks TLS and the other one does not",
    "deadline exceeded": _SILENCE,
    "timed out": _SILENCE,
    "no connection within": _SILENCE,
    "nor an answer to a ping": _SILENCE,
}
"""Words of gRPC's, OpenSSL's and the system's, and what they mean here."""


class Trouble:
    """What the calls to one peer end with. Network thread, but `why`: any thread."""

    __slots__ = ("_last", "_reason", "_since")

    def __init__(self) -> None:
        self._reason = ""
        self._since = self._last = 0.0

    def answered(self) -> None:
        self._reason = ""

    def failed(self, reason: str, now: float) -> None:
        """now: monotonic seconds."""
        if not self._reason or now - self._last > LATELY_SECONDS:
            self._since = now
        self._reason, self._last = reason, now

    def why(self, now: float) -> str:
        """Why nothing has been answered for a while; empty if that is not so, or not known.

        The story with the time since the first failure alone: a follower had called a node once,
        before its port was open, and never again; for seconds it said that nothing listens there.
        """
        lasted = self._last - self._since >= TROUBLE_SECONDS
        if not self._reason or not lasted or now - self._last > LATELY_SECONDS:
            return ""
        return in_plain_words(self._reason)


def in_plain_words(reason: str) -> str:
    told = reason.replace("_", " ").lower()
    meaning = next((meaning for words, meaning in _KNOWN.items() if words in told), "")
    return meaning or reason[:REASON_MAX]
