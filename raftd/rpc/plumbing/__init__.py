"""What both ports need of gRPC: streams, what a connection may cost, malformed input, logging."""
