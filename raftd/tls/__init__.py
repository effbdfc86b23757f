"""TLS: which files a port uses, what they are checked for, and who a certificate belongs to.

    files.py     one port's certificate, key and authorities, and what is wrong with them
    contexts.py  `ssl` contexts and gRPC credentials made of them, anew when files change
    names.py     the name by which nodes know each other in certificates

`certs.py` makes certificates for trials. It needs the `cryptography` package (`pip install
'raftd[certs]'`); nothing else here does.
"""
