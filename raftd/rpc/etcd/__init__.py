"""The etcd v3 API on the client port: etcd's clients use raftd as they are.

    calls.py        what a handler is and knows of its caller; the seam to the transport
    grpc_host.py    hosts the handlers on the client port's gRPC server
    faults.py       etcd's errors: code and text, to the letter
    checks.py       what etcd refuses before it looks at the store
    backend.py      writes and reads of one turn together; a follower forwards to the leader

and a file for each service. docs/etcd.md says what is served and where it differs from etcd.
"""
