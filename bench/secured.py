"""What TLS costs: raftd and etcd, each in plain text and with TLS, interleaved in one run.

python -m bench.secured                one table, a line for each row and how it is judged
python -m bench.secured --transport grpcio --rounds 3

TLS is mutual, among nodes and with clients. Judged is raftd's ratio to etcd: with TLS on both sides
it may be at most a tenth worse than without. Exits 1 if it is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import peers
from bench.clusters import BASE, BenchTrouble, Etcd, Raftd, etcd_load, raftd_load
from harness.certificates import certificates, hand_out

SHARE = 0.9
"""Of the ratio without TLS, at least; of a delay its inverse."""


ALONE = {"op": "put", "clients": 1, "conns": 1}


class Work(NamedTuple):
    """One row. ours: options of bench.load; None: etcd's Go client asks raftd, too."""

    name: str
    ours: Mapping[str, Any] | None
    etcds: Mapping[str, Any]
    key: str


WORKS = (
    Work("64 callers, puts", {"op": "put", "callers": 64}, {"op": "put", "clients": 64}, "rate"),
    Work("64 callers, gets", {"op": "get", "callers": 64}, {"op": "get", "clients": 64}, "rate"),
    Work("one caller, puts, p50 ms", {"op": "put", "callers": 1}, ALONE, "p50_ms"),
    Work("64 callers, Put, by etcd's client", None, {"op": "put", "clients": 64}, "rate"),
)

Side = tuple[str, bool]
"""(raftd or etcd, whether with TLS)"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.secured",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each row in each round")
    parser.add_argument("--transport", choices=("grpcio", "h2"), default="h2")
    options = parser.parse_args(argv)
    base = BASE / "secured"
    generator = peers.etcd_generator(lambda line: print(f"note: {line}"))
    if generator is None:
        print("bench.secured: nothing to compare with", file=sys.stderr)
        return 2
    sides = _sides(base, options.transport)
    found: dict[tuple[str, Side], list[float]] = {}
    try:
        for cluster in sides.values():
            cluster.start()
        for turn in range(options.rounds):
            for work in WORKS:
                for side in [*sides][turn % 4 :] + [*sides][: turn % 4]:
                    value = _one(sides[side], side, work, generator, base, options)
                    found.setdefault((work.name, side), []).append(value)
            print(f"  .. round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for cluster in sides.values():
            cluster.stop()
    return _judge(found)


def _sides(base: Path, transport: str) -> dict[Side, Raftd | Etcd]:
    made: dict[Side, Raftd | Etcd] = {}
    plain = {"transport": transport}
    made["raftd", False] = Raftd(base / "raftd", 3, plain)
    secured = made["raftd", True] = Raftd(base / "raftd-tls", 3, plain)
    tls = secured.base / "tls"
    settings = certificates(tls, secured.nodes)
    secured.configure({"log_format": "json", "cluster_token": "test", **plain, **settings})
    hand_out(tls, secured.nodes)
    made["etcd", False] = Etcd(base / "etcd")
    made["etcd", True] = Etcd(base / "etcd-tls", tls=tls)
    return made


def _one(
    cluster: Raftd | Etcd, side: Side, work: Work, generator: Path, base: Path, options: Any
) -> float:
    """Raises BenchTrouble."""
    name, secured = side
    extra: dict[str, Any] = {"tls": base / "raftd-tls" / "tls"} if secured else {}
    if name == "raftd" and work.ours is not None:
        figures = raftd_load(
            cluster, seconds=options.seconds, transport=options.transport, **work.ours, **extra
        )
    else:
        figures = etcd_load(generator, cluster, secs=options.seconds, **work.etcds, **extra)
    if figures["errors"] or figures.get("wrong"):
        raise BenchTrouble(f"{name}, TLS {secured}, {work.name}: {figures}")
    return float(figures[work.key])


def _judge(found: Mapping[tuple[str, Side], Sequence[float]]) -> int:
    missed = 0
    columns = "raftd | raftd, TLS | etcd | etcd, TLS | raftd / etcd | the same, TLS"
    print(f"| work | {columns} | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for work in WORKS:
        rows = {
            side: found[work.name, side]
            for side in ((n, t) for n in ("raftd", "etcd") for t in (False, True))
        }
        plain, secured = (
            statistics.median(a / b for a, b in zip(rows["raftd", tls], rows["etcd", tls]))
            for tls in (False, True)
        )
        well = secured <= plain / SHARE if work.key == "p50_ms" else secured >= SHARE * plain
        missed += not well
        cells = " | ".join(f"{statistics.median(values):,.2f}" for values in rows.values())
        print(
            f"| {work.name} | {cells} | {plain:.2f} | {secured:.2f} | {'' if well else 'MISSED'} |"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
