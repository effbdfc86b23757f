"""`python -m tests.etcd.differential --requests 100000`: exit code 1 if anything differs."""

from __future__ import annotations

import argparse
import asyncio
import time

from tests.etcd.differential.run import compare
from tests.etcd.servers import ETCD, folder, one_etcd, raftd_cluster


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=5000, help="requests between fresh servers")
    parser.add_argument("--transport", choices=("grpcio", "h2"), default="h2")
    arguments = parser.parse_args()
    if ETCD is None:
        print("differential: etcd is not installed: apt-get install etcd-server")
        return 2
    left, seed, differing = arguments.requests, arguments.seed, 0
    while left > 0:
        count = min(left, arguments.each)
        began = time.monotonic()
        with (
            folder() as base,
            one_etcd(base) as etcd,
            raftd_cluster(base, 1, arguments.transport) as raftd,
        ):
            report = asyncio.run(compare(etcd, raftd.addresses[0], count, seed))
        seconds = time.monotonic() - began
        print(f"seed {seed}: {report} ({seconds:.0f} s)", flush=True)
        for difference in report.differences:
            print(f"  {difference}")
        differing += len(report.differences)
        left, seed = left - count, seed + 1
    print(f"{arguments.requests} requests in all: {differing} differences")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
