"""See the package."""

from __future__ import annotations

import sys

from tests.h2.others import HOME, build_go, install_js


def main() -> int:
    HOME.mkdir(parents=True, exist_ok=True)
    missing = 0
    for name, make in (("grpc-go", build_go), ("grpc-js", install_js)):
        why = make()
        print(f"{name}: {why or 'ready'}")
        missing += bool(why)
    return min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
