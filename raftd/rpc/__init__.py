"""gRPC: the peers' and the clients' way in, and the way out to the peers."""
