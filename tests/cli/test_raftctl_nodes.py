"""raftctl's questions to nodes, and how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from raftd.client.delivery.nodes import NodeStatus, Peer
from raftd.client.diagnosis import explain
from raftd.client.errors import NotAllowed, RaftdError, Unavailable
from raftd.wire.refusals import BEHIND
from tests.cli.raftctl_shell import Shell
from tests.client.fake_server import FakeCluster

START_LOOPS_MAX = 4.0


# -- nodes ------------------------------------------------------------------------------------


def test_status(shell: Shell, cluster: FakeCluster) -> None:
    cluster.nodes["n3"].stop()
    cluster.nodes["n2"].healthy = False
    cluster.nodes["n2"].problems = ["the disk is full"]
    assert shell("status") == 0
    lines = shell.out.decode().splitlines()
    assert lines[0].split()[:4] == ["ENDPOINT", "ID", "ROLE", "TERM"]
    assert "leader" in lines[1]
    assert "the disk is full" in lines[2]
    assert "unreachable" in lines[3]
    nodes = shell.json("status")["nodes"]
    assert isinstance(nodes, list)
    assert [node["reachable"] for node in nodes] == [True, True, False]


def test_health(shell: Shell, cluster: FakeCluster) -> None:
    assert shell("health") == 0
    cluster.nodes["n2"].healthy = False
    assert shell("health") == 1
    assert b"not serving" in shell.out


def test_log_level(shell: Shell) -> None:
    assert shell("log-level") == 0
    assert b"info" in shell.out
    assert shell("-w", "json", "log-level", "debug", "--logger", "raftd.rpc") == 0
    found = json.loads(shell.out)
    assert found["logger"] == "raftd.rpc"
    assert {row["level"] for row in found["levels"]} == {"debug"}


def test_snapshot_transfer_events(shell: Shell) -> None:
    assert shell("snapshot") == 0
    assert shell("transfer", "n2") == 0
    assert shell.out == b"ok: n2 leads in term 2\n"
    assert shell("transfer", "n7") == 5
    assert shell("events") == 0
    assert b"2 events lost" in shell.out
    assert b"became_leader" in shell.out
    assert shell("-w", "json", "events") == 0
    assert [json.loads(line)["number"] for line in shell.out.splitlines()] == [1, 4]


def test_why(shell: Shell, cluster: FakeCluster) -> None:
    assert shell("why") == 0
    assert shell.out.startswith(b"All is well: n1 leads in term 1")
    cluster.lead("nobody")
    cluster.nodes["n2"].waiting_for = ["n3"]
    cluster.nodes["n3"].stop()
    assert shell("why") == 1
    text = shell.out.decode()
    assert "n2 is not admitted yet: it waits to be recorded by n3" in text
    assert f"{cluster.nodes['n3'].address} cannot be reached" in text
    assert "There is no leader yet" in text
    assert shell.json("why")["well"] is False


def status(**fields: object) -> NodeStatus:
    plain = NodeStatus(
        "e:1", "n1", "c", "0", "follower", 1, "", "", 0, 0, 0, 0, 0, 0, True, (), (), True, ()
    )
    return plain._replace(**fields)  # type: ignore[arg-type]


def peer(name: str, **fields: object) -> Peer:
    return Peer(name, "", f"{name}:2", 0, "", None, True)._replace(**fields)  # type: ignore[arg-type]


SILENT = (peer("n2", contact_age=9.0), peer("n3", contact_age=9.0))


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ({"e:1": Unavailable("gone")}, "No node answered"),
        ({"e:1": Unavailable(f"e:1: {BEHIND}")}, "e:1 refuses to answer: this node has started"),
        (
            {"e:1": Unavailable("gone"), "e:2": Unavailable(f"e:2: {BEHIND}")},
            "believes nobody before it follows a leader",
        ),
        ({"e:1": status(role="candidate", term=4)}, "n1 (term 4) asks for votes"),
        (
            {"e:1": status(leader_id="n9", healthy=False)},
            "follow n9, which is not among",
        ),
        (
            {"e:1": status(), "e:2": status(cluster_id="d", endpoint="e:2")},
            "2 different clusters",
        ),
        (
            {"e:1": status(role="leader"), "e:2": status(node_id="n2", role="leader", term=2)},
            "n1 still believes that it leads in term 1; n2 leads in term 2",
        ),
        (
            {"e:1": status(role="leader"), "e:2": status(node_id="n2", term=3)},
            "n2 is in a later term",
        ),
        (
            {"e:1": status(role="leader", commit_index=5000), "e:2": status(node_id="n2")},
            "n2 is 5000 entries behind",
        ),
        ({"e:1": status(admitted=False)}, "n1 has not joined yet: it waits to be taken in"),
        (
            {
                "e:1": status(
                    role="leader",
                    voter=False,
                    peers=(peer("n2", contact_age=9.0), peer("n3", contact_age=9.0)),
                )
            },
            "hears from 0 of 2 other voters and needs 2: nothing can be committed",
        ),
    ],
)
def test_explanations(reports: dict[str, NodeStatus | RaftdError], expected: str) -> None:
    well, sentences = explain(reports)
    assert any(expected in sentence for sentence in sentences), sentences
    assert well == sentences[0].startswith("All is well")


def test_one_endpoint_of_a_healthy_cluster_is_enough() -> None:
    """The story without it: whoever gave one endpoint of three was told that his cluster is ill."""
    others = (peer("n1"), peer("n3"))
    follower = status(node_id="n2", leader_id="n1", term=3, peers=others)
    well, sentences = explain({"e:2": follower}, ["n1:2", "n3:2"])
    assert well
    assert sentences[0].startswith("All is well: n1 leads in term 3, 1 of 3 members asked have")
    assert sentences[1] == "n1 advertises n1:2, which cannot be reached from here."
    alone = follower._replace(leader_id="", role="pre-candidate", healthy=False)
    well, sentences = explain({"e:2": alone}, ["n1:2", "n3:2"])
    assert not well
    assert sentences[0].startswith("There is no majority: only n2")


def test_a_replaced_disk_is_no_first_start() -> None:
    """The story without it: "the first start of a cluster needs nearly all of its nodes"."""
    why = "node 'n3' is recorded here with another incarnation"
    told = (f"refused by n1: {why}",)
    third = status(
        node_id="n3", admitted=False, waiting_for=("n1", "n2"), healthy=False, problems=told
    )
    lead = status(role="leader", peers=(peer("n2", contact_age=0.1), peer("n3", contact_age=0.1)))
    sentences = explain({"e:1": lead, "e:2": status(node_id="n2"), "e:3": third})
    assert sentences == (False, [f"n1 refuses n3: {why}."])


def test_a_leader_just_elected_complains_of_nobody() -> None:
    lead = status(role="leader", peers=(peer("n2", contact_age=0.4), peer("n3", contact_age=0.4)))
    assert explain({"e:1": lead, "e:2": status(node_id="n2"), "e:3": status(node_id="n3")}).well
    silent = lead._replace(peers=(peer("n2", contact_age=0.4), peer("n3", contact_age=7.0)))
    assert "n1 has not heard from n3 for 7.0 s." in explain({"e:1": silent}).sentences


def test_a_dead_member_is_told_of_once_by_the_leader() -> None:
    """The story without it: three sentences about one kill, and a newcomer who looks for three
    faults.
    """
    where = "n3 does not answer at n3:1: nothing listens there"
    lead = status(
        role="leader",
        peers=(peer("n2", contact_age=0.4), peer("n3", contact_age=7.0)),
        problems=("n3 has not answered for 7.0 s", where, "n2 has not answered for 6.0 s"),
    )
    second = status(node_id="n2", problems=("n3 is strange",))
    assert explain({"e:1": lead, "e:2": second}).sentences == [
        f"n1 has not heard from n3 for 7.0 s: {where}",
        "n1 reports: n2 has not answered for 6.0 s",
        "n2 reports: n3 is strange",
    ]


def test_a_node_that_is_refused_is_no_fault_of_the_network() -> None:
    """Its data directory was lost: it was said to look at the network from its leader to it, and of
    the node asked alone, that an election was near.
    """
    why = "node 'n3' is recorded here with another incarnation"
    lead = status(
        role="leader",
        peers=(peer("n2", contact_age=0.1), peer("n3", contact_age=17.0)),
        problems=("n3 has not answered for 17.0 s",),
    )
    second = status(node_id="n2", endpoint="e:2", leader_id="n1")
    gone = status(
        node_id="n3",
        endpoint="e:3",
        term=0,
        admitted=False,
        problems=(f"refused by n1: {why}", f"refused by n2: {why}"),
    )
    told = f"n1, n2 refuse n3: {why}."
    assert explain({"e:1": lead, "e:2": second, "e:3": gone}) == (False, [told])
    assert explain({"e:3": gone}).sentences == [told]


def test_the_network_is_suspected_where_nothing_better_is_known() -> None:
    """A node with another secret: the first sentence was to look at the network to it."""
    second = status(node_id="n2", endpoint="e:2")

    def told(*problems: str) -> list[str]:
        silent = peer("n2", peer_address="n2:1", contact_age=9.0)
        others = (silent, peer("n3", contact_age=0.1))
        lead = status(role="leader", peers=others, problems=problems)
        return explain({"e:1": lead, "e:2": second}).sentences

    where = "n1 does not reach n2 at n2:1, which answers here"
    [network] = told("n2 has not answered for 9.0 s")
    assert network.startswith(f"{where}: look at the network")
    secret = "a message from 'n1' with another secret: cluster_secret_file must hold the same"
    problems = (f"n2 does not answer at n2:1: {secret}", "n2 has not answered for 9.0 s")
    assert told(*problems) == [f"{where}: {secret}"]


# -- speed ------------------------------------------------------------------------------------


def test_starts_fast(cluster: FakeCluster) -> None:
    """By what a loop of plain Python takes in the same process: machines differ, and one machine
    from one minute to the next. The best of five.
    """
    code = (
        "import sys, time; from raftd.cli.raftctl import main; code = main(sys.argv[1:]); "
        "used = time.process_time(); sum(number for number in range(2_000_000)); "
        "loop = time.process_time() - used; heavy = {'yaml', 'prometheus_client'}; "
        "print(used / loop, *(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    words = ["--endpoints", ",".join(cluster.endpoints), "get", "a"]
    loops = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            check=False,
            # An installed raftctl has its bytecode; a shell may have forbidden to write it.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        )
        assert done.returncode == 1, done.stderr
        used, *heavy = done.stderr.split()
        assert heavy == [], "raftctl loads only what it needs"
        loops.append(float(used))
    print(f"raftctl get, from start to end: {min(loops):.2f} times the loop")
    assert min(loops) < START_LOOPS_MAX


def test_why_tells_a_refusal_from_silence() -> None:
    """Nodes that ran and asked for a user were 'unreachable': look whether the daemons run."""
    refusal = NotAllowed("n1:2: user name is empty: give a user and a password")
    found = explain({"n1:2": refusal, "n2:2": Unavailable("nothing listens there")})
    assert not found.well
    assert found.sentences == [
        "n1:2 refuses to answer: user name is empty: give a user and a password",
        "n2:2 cannot be reached: nothing listens there",
        "Nodes run, and told nothing: name a user with the role root (--user).",
    ]
