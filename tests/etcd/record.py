"""`python -m tests.etcd.record [NAME...]`: record the transcripts anew from a real etcd."""

from __future__ import annotations

import sys

from tests.etcd.servers import ETCD, folder, one_etcd
from tests.etcd.transcripts import ETCDCTL, GOLDEN, RECORDING_QUIET_SECONDS, played


def main() -> int:
    if ETCD is None or ETCDCTL is None:
        print("record: install etcd and etcdctl: apt-get install etcd-server etcd-client")
        return 2
    for name in sys.argv[1:] or sorted(path.stem for path in GOLDEN.glob("*.txt")):
        path = GOLDEN / f"{name}.txt"
        with folder() as base, one_etcd(base) as etcd:
            path.write_text(played(path.read_text(), etcd, RECORDING_QUIET_SECONDS))
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
