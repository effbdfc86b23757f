"""Why there is no connection to a node, for whoever has to do something about it."""

from __future__ import annotations

_KNOWN = {
    "connect call failed": "nothing listens there; is the node up, and the address right?",
    "connection refused": "nothing listens there; is the node up, and the address right?",
    "certificate has expired": "the node's certificate has expired; renew it, and have the node "
    "read it (SIGHUP)",
    "certificate is not yet valid": "the node's certificate is not valid yet; is the clock right?",
    "unable to get local issuer certificate": "the node's certificate is not signed by the "
    "authority that was given for it (--cacert, ca)",
    "self-signed certificate": "the node's certificate is not signed by the authority that was "
    "given for it (--cacert, ca)",
    "certificate is not valid for": "the node's certificate is for another host; connect to a name "
    "or address that it holds",
    "wrong version number": "the node speaks no TLS there",
    "record layer failure": "the node speaks no TLS there",
}
"""Words of OpenSSL's and the system's, and what they mean here."""

_PLAIN = "is the node up, and does it not ask for TLS?"
_TLS = (
    "is the node up, does it speak TLS, is its certificate of that authority and for this host, "
    "and does it ask for one of ours?"
)


def no_connection(why: str, tls: bool) -> str:
    """One line. why: what the transport says; empty if it says nothing, as grpcio does."""
    told = why.lower()
    meaning = next((meaning for words, meaning in _KNOWN.items() if words in told), "")
    return f"cannot connect: {meaning}" if meaning else f"cannot connect; {_TLS if tls else _PLAIN}"
