"""The settings that say which node this is: its cluster, its ports, what it proves and asks for.

The first part of the table of settings (settings.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from raftd.config.kinds import (
    ADDRESSES,
    DURATION,
    FLAG,
    LISTEN,
    NODE_ID,
    PATH,
    PEERS,
    PLACES,
    TEXT,
    Peer,
    choice,
)
from raftd.config.row import setting


# Methods are made for Config alone, which has all fields: nobody makes one of these.
@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False, eq=False)
class Place:
    """See `Config`."""

    id: str = setting(
        NODE_ID, "", "this node; must be one of `peers`", group="Who and where (no defaults)"
    )
    data_dir: str = setting(
        PATH, "", "log, snapshots and identity live here; one directory per node, never copied"
    )
    peers: dict[str, Peer] = setting(
        PEERS,
        {},
        "every node, this one too, with the addresses at which the others reach it; of a new "
        "cluster these are the voters, later changes of the list change addresses only",
    )

    join: str = setting(
        ADDRESSES,
        "",
        "client ports of a running cluster (host:port,...): a new data directory joins it as a "
        "learner; `peers` needs this node only",
    )

    profile: str = setting(
        choice("standard", "small"),
        "standard",
        "defaults of the sizes below; small: for a container and a volume of 256 MiB each",
        group="Size",
    )

    cluster_token: str = setting(
        TEXT,
        "raftd",
        "with the ids of `peers` it makes a new cluster's id: two clusters never mix",
        group="Identity and ports",
    )
    listen_peer: str = setting(
        LISTEN, "", "where to listen for peers; empty: this node's `peer` address above"
    )
    listen_client: str = setting(
        LISTEN, "", "where to listen for clients; empty: this node's `client` address above"
    )
    listen_admin: str = setting(
        LISTEN,
        "127.0.0.1:7003",
        "HTTP: /livez, /readyz, /metrics, /events; empty: off; keep it on loopback",
    )
    page: bool = setting(
        FLAG,
        False,
        "the HTTP port also serves a page, at /, that shows the cluster (docs/page.md)",
    )
    page_nodes: str = setting(
        PLACES,
        "",
        "HTTP ports of all nodes for that page, as in n1=host:7003,n2=host:7003; empty: the hosts "
        "of `peers` and the port of listen_admin",
    )
    client_http: bool = setting(
        FLAG,
        True,
        "who speaks HTTP/1.1 at the client port gets etcd's JSON gateway, /version and /health; "
        "with transport h2 and the built-in store",
    )
    listen_gateway: str = setting(
        LISTEN,
        "",
        "HTTP: a port of the JSON gateway's own, with the TLS of client_cert if it is set; "
        "empty: off",
    )
    advertise_gateway: str = setting(
        LISTEN,
        "",
        "where clients reach it; the member list tells it to those who ask a gateway",
    )

    transport: str = setting(
        choice("h2", "grpcio"),
        "h2",
        "what carries gRPC on this node; nodes and clients need not agree; h2: in the network "
        "thread; grpcio: by the library, at several times the cost, also where h2's package ngh2 "
        "cannot be loaded",
    )

    cluster_secret_file: str = setting(
        PATH,
        "",
        "file with a secret that all nodes share (16 bytes or more): a peer without it is refused",
        group="Security (docs/security.md)",
    )
    peer_cert: str = setting(
        PATH, "", "this node's certificate among peers (PEM); it holds the name ID.node.raftd"
    )
    peer_key: str = setting(PATH, "", "its private key, mode 600")
    peer_ca: str = setting(PATH, "", "who signs the certificates of all nodes")
    peer_crl: str = setting(PATH, "", "certificates that peer_ca has revoked")
    peer_tls_optional: bool = setting(
        FLAG,
        False,
        "while the nodes are given TLS one after the other: plain text is taken at the peer port "
        "too, and spoken to nodes that have no TLS yet",
    )
    client_cert: str = setting(
        PATH, "", "this node's certificate for clients; it holds the host that they connect to"
    )
    client_key: str = setting(PATH, "", "its private key, mode 600")
    client_ca: str = setting(
        PATH, "", "who signs the certificates of clients; empty: clients need none"
    )
    client_crl: str = setting(PATH, "", "certificates that client_ca has revoked")
    client_cert_auth: bool = setting(
        FLAG,
        False,
        "the common name of a client's certificate is the name of its user, where it shows no "
        "token; needs client_ca; not at the gateway",
    )
    token_ttl: float = setting(
        DURATION,
        300.0,
        "for so long a token serves that nobody uses; the same on every node",
        low=1,
        high=30 * 86_400,
    )
    client_tls_optional: bool = setting(
        FLAG, False, "while clients are given TLS: plain text is taken at their ports too"
    )
    admin_tls: bool = setting(
        FLAG, False, "the HTTP port too speaks TLS, with client_cert; it asks for no certificates"
    )
    security_migrating: bool = setting(
        FLAG,
        False,
        "while the nodes are secured one after the other: peers without the secret are taken too",
    )
