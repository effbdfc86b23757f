"""Limits of the ports are what the settings say, and as the ports have them by default."""

from __future__ import annotations

import resource

import pytest

from raftd.admin.server import CONNECTIONS_MAX
from raftd.config import Config
from raftd.embed.descriptors import OWN
from raftd.embed.security import security_of
from raftd.embed.serving import link_settings, server_settings
from raftd.rpc.etcd.gateway.http import GatewayLimits
from raftd.rpc.etcd.one_watcher import WatchLimits
from raftd.rpc.plumbing.turns import TurnLimits
from raftd.rpc.server import ServerSettings


def settings(config: Config) -> ServerSettings:
    return server_settings(config, security_of(config), link_settings(config))


def test_a_limit_is_what_its_setting_says() -> None:
    made = settings(
        Config(
            connection_calls_waiting_max=1,
            calls_waiting_max=2,
            stream_watchers_max=3,
            watchers_max=4,
            client_calls_max=50,
        )
    )
    assert made.client_calls_max == 50
    assert made.turns == TurnLimits(connection_calls_waiting_max=1, calls_waiting_max=2)
    assert made.etcd.watchers == WatchLimits(stream_watchers_max=3, watchers_max=4)


def test_defaults_are_said_once() -> None:
    made = settings(Config())
    assert made.client_calls_max == ServerSettings("", "").client_calls_max
    assert made.turns == TurnLimits()
    assert made.etcd.watchers == WatchLimits()


@pytest.mark.parametrize("limit", [200, 1024, 65_536])
@pytest.mark.parametrize("served", [True, False])
def test_all_ports_together_leave_descriptors_for_the_log(
    monkeypatch: pytest.MonkeyPatch, limit: int, served: bool
) -> None:
    """The story without it: who speaks HTTP/1.1 leaves the client port's count for the gateway's,
    which had 1,024 of its own, so a crowd took the file of the log's next segment.
    """
    monkeypatch.setattr(resource, "getrlimit", lambda what: (limit, limit))
    made = settings(Config(client_http=served))
    gateway = made.etcd.gateway.connections_max if served else 0
    assert made.peer_connections_max + made.client_connections_max + gateway <= limit - OWN
    assert made.client_connections_max > gateway
    assert OWN > CONNECTIONS_MAX, "the HTTP port alone could take what the log needs"
    if served:
        assert 0 < gateway <= GatewayLimits().connections_max
