"""Dockerfile and compose files: what they promise, checked without docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from raftd.config import SETTINGS, load

ROOT = Path(__file__).resolve().parents[2]
FILES = {"docker-compose.yml": 3, "docker-compose.5.yml": 5}
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")

Service = dict[str, Any]


def compose(name: str, **environment: str) -> dict[str, Any]:
    """The file with its variables filled in as Compose does it."""
    text = (ROOT / name).read_text()
    text = VARIABLE.sub(lambda match: environment.get(match[1]) or match[2], text)
    assert "$" not in text, "a variable without a default"
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def every_service() -> list[Any]:
    return [
        pytest.param(service, id=f"{name}:{key}")
        for name in FILES
        for key, service in compose(name)["services"].items()
    ]


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def image_environment() -> dict[str, str]:
    final = dockerfile().rpartition("\nFROM ")[2].replace("\\\n", " ")
    pairs = re.findall(r"^ENV (.*)$", final, re.M)
    return dict(word.split("=", 1) for line in pairs for word in line.split())


@pytest.mark.parametrize("name", FILES)
def test_only_what_both_generations_of_compose_know(name: str) -> None:
    """`name:` and `version:` at the top please one and not the other."""
    parsed = compose(name)
    tops = {key for key in parsed if not key.startswith("x-")}
    assert tops == {"services", "networks", "volumes"}
    assert len(parsed["services"]) == FILES[name]
    for service in parsed["services"].values():
        assert "depends_on" not in service, "members must not wait for one another"


@pytest.mark.parametrize("service", every_service())
def test_every_node_is_hardened(service: Service) -> None:
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["stop_grace_period"] == "20s"
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD", "exec form: no shell in between"
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("variables", [{}, {"CLUSTER": "x", "HOST_ADDRESS": "10.1.2.3"}])
def test_the_daemon_accepts_what_it_is_given(
    name: str, variables: dict[str, str], tmp_path: Path
) -> None:
    """And advertises exactly what is published, under the container's own name."""
    for key, service in compose(name, **variables)["services"].items():
        environment = {**image_environment(), **service["environment"]}
        unknown = {
            variable
            for variable in environment
            if variable.startswith("RAFTD_") and variable[6:].lower() not in SETTINGS
        }
        assert not unknown
        config = load(None, environment, {}, tmp_path).config
        own = config.peers[config.id]
        assert config.id == key
        assert set(config.peers) == set(compose(name)["services"])
        assert own.peer == f"{service['container_name']}:7001"
        (published,) = service["ports"]
        assert published == f"{own.client}:{config.listen_client.rpartition(':')[2]}"
        (volume,) = service["volumes"]
        assert volume == f"{key}:{config.data_dir}"


def test_the_two_clusters_share_nothing() -> None:
    seen: set[str] = set()
    for name in FILES:
        parsed = compose(name)
        mine = {str(parsed["networks"]["default"]["name"])}
        mine |= {str(volume["name"]) for volume in parsed["volumes"].values()}
        for key, service in parsed["services"].items():
            mine |= {key, service["container_name"], *service["ports"]}
        tokens = {s["environment"]["RAFTD_CLUSTER_TOKEN"] for s in parsed["services"].values()}
        assert len(tokens) == 1
        assert not (seen & mine)
        seen |= mine
        assert all(
            port.startswith("127.0.0.1:")
            for service in parsed["services"].values()
            for port in service["ports"]
        ), "nothing is published beyond this host unless asked for"


def test_both_files_describe_the_same_kind_of_node() -> None:
    three, five = (compose(name)["x-node"] for name in FILES)
    assert three == five


def test_the_node_that_joins_is_one_of_the_kind() -> None:
    """As the others, but for whom it knows: itself, and whom to ask."""
    (node,) = compose("docker-compose.join.yml")["services"].values()
    other = compose("docker-compose.yml")["services"]["n1"]
    differ = {key for key in {*node, *other} if node.get(key) != other.get(key)}
    assert differ == {"build", "container_name", "environment", "ports", "volumes"}
    config = load(None, {**image_environment(), **node["environment"]}, {}, Path()).config
    assert list(config.peers) == ["n4"]
    assert config.join == "raftd-n1:7002,raftd-n2:7002,raftd-n3:7002"
    token = other["environment"]["RAFTD_CLUSTER_TOKEN"]
    assert node["environment"]["RAFTD_CLUSTER_TOKEN"] == token


def test_each_node_has_tls_with_files_of_its_own() -> None:
    """`docker-compose.tls.yml` lies over the first file, and changes nothing else."""
    plain, secured = compose("docker-compose.yml"), compose("docker-compose.tls.yml")
    assert secured["services"].keys() == plain["services"].keys()
    for name, node in secured["services"].items():
        assert node.keys() == {"environment", "group_add", "volumes"}
        assert node["volumes"] == [f"./tls/{name}:/tls:ro"]
        both = {
            **image_environment(),
            **plain["services"][name]["environment"],
            **node["environment"],
        }
        config = load(None, both, {}, Path()).config
        assert (config.peer_ca, config.client_ca) == ("/tls/ca.crt", "/tls/ca.crt")
        assert {config.peer_key, config.client_key} == {"/tls/node.key"}


def test_the_image_builds_with_the_classic_builder() -> None:
    text = dockerfile()
    for only_buildkit in ("--mount", "--link", "--chmod", "<<", "# syntax"):
        assert only_buildkit not in text
    assert text.count("\nFROM ") == 2, "tools to build with stay behind"
    assert "--constraint constraints.txt" in text


def test_the_image_runs_unprivileged_and_gets_its_signals() -> None:
    final = dockerfile().rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", final, re.M)
    assert user is not None
    assert 0 not in map(int, user.groups())
    assert 'ENTRYPOINT ["raftd"]' in final
    assert "STOPSIGNAL SIGTERM" in final
    assert re.search(r"HEALTHCHECK .*\\\n\s+CMD \[", final), "exec form"
    assert f"VOLUME {image_environment()['RAFTD_DATA_DIR']}" in final


def test_the_build_context_holds_what_the_dockerfile_copies() -> None:
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile(), re.M)
        for word in line.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
