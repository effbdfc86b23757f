"""What `patroni_demo --secured` adds: TLS in Patroni's settings, and users with roles at raftd."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from pathlib import Path

from harness.certificates import CLIENT

WAIT_SECONDS = 30.0
SETTINGS = (
    ", protocol: https, cacert: {folder}/ca.crt"
    f", cert: {{folder}}/{CLIENT}.crt, key: {{folder}}/{CLIENT}.key"
    ", username: patroni, password: demo"
)


def make_users(address: str, tls: Path) -> None:
    """`root`, and `patroni`, who may touch the keys below /service/ only; then auth is on.

    By the gateway, as Patroni asks. address: host:port of a member that serves.
    """
    context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    context.load_cert_chain(tls / f"{CLIENT}.crt", tls / f"{CLIENT}.key")
    key, end = (base64.b64encode(each).decode() for each in (b"/service/", b"/service0"))
    permission = {"permType": "READWRITE", "key": key, "range_end": end}
    for path, fields in (
        ("user/add", {"name": "root", "password": "demo"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("role/add", {"name": "patroni"}),
        ("role/grant", {"name": "patroni", "perm": permission}),
        ("user/add", {"name": "patroni", "password": "demo"}),
        ("user/grant", {"user": "patroni", "role": "patroni"}),
        ("enable", {}),
    ):
        request = urllib.request.Request(
            f"https://{address}/v3/auth/{path}", json.dumps(fields).encode()
        )
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS, context=context):
            pass
