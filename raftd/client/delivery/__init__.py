"""One command's way to a node and back: streams, routing, retries, the client's loop."""
