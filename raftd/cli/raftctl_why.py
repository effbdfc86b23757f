"""`raftctl why`: asks all nodes that can be found, and says what is wrong."""

from __future__ import annotations

from argparse import Namespace

from raftd.cli.raftctl_output import show_json
from raftd.client import Client
from raftd.client.delivery.nodes import NodeStatus, advertised, status_at
from raftd.client.diagnosis import Diagnosis, explain
from raftd.client.endpoints import ENDPOINTS_MAX, is_endpoint

YES = 0
NO = 1


def look(client: Client) -> Diagnosis:
    """Ask the endpoints, and the members that they tell of."""
    given = client.ask_each(status_at)
    nodes = [report for report in given.values() if isinstance(report, NodeStatus)]
    members = [at for at in advertised(nodes) if is_endpoint(at) and at not in given]
    learned = client.ask_each(status_at, members[:ENDPOINTS_MAX]) if members else {}
    answered = {at: report for at, report in learned.items() if isinstance(report, NodeStatus)}
    return explain({**given, **answered}, learned.keys() - answered.keys())


def why(args: Namespace, client: Client) -> int:
    """Exit 0: there is a leader with a majority and nothing to tell but that."""
    well, sentences = look(client)
    if args.output == "json":
        show_json({"well": well, "sentences": sentences})
    else:
        print("\n".join(sentences))
    return YES if well else NO
