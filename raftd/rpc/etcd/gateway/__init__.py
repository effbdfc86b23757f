"""The JSON gateway: the etcd v3 API over HTTP/1.1, for clients that speak no gRPC.

server.py   connections, limits, keep-alive (h11 parses)
routes.py   which path is which method
reply.py    answers, errors and streams as etcd's gateway writes them
"""
