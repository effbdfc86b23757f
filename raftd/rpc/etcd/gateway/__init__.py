"""The JSON gateway: the etcd v3 API over HTTP/1.1, for clients that speak no gRPC.

http.py        what all of them name: requests, replies, limits
held.py        bytes that callers make the node keep
server.py      the port
connection.py  a connection: requests, limits, keep-alive (h11 parses)
gateway.py     a request as a call of the services
routes.py      which path is which method
reply.py       answers, errors and streams as etcd's gateway writes them
of_process.py  /metrics of the process

A node loads the first three at its start, the rest when somebody speaks HTTP/1.1 to it.
"""
