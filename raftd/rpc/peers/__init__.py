"""Between the nodes: the peer port, the connections out to the peers, and what both say."""
