"""Where these were before they moved to harness/."""

from harness.nodes import (
    ROOT,
    Node,
    NodeTrouble,
    Ports,
    endpoints,
    free_ports,
    kill_all,
    make_nodes,
    remove_tree,
    wait_until,
    write_configs,
)

__all__ = [
    "ROOT",
    "Node",
    "NodeTrouble",
    "Ports",
    "endpoints",
    "free_ports",
    "kill_all",
    "make_nodes",
    "remove_tree",
    "wait_until",
    "write_configs",
]
