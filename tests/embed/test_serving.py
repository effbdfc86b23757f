"""Limits of the ports are what the settings say, and as the ports have them by default."""

from __future__ import annotations

from raftd.config import Config
from raftd.embed.security import security_of
from raftd.embed.serving import link_settings, server_settings
from raftd.rpc.etcd.watcher import WatchLimits
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
