"""The image by itself: built, weighed, and run the way a careful operator would."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence

from harness.containers import (
    BUILD_SECONDS,
    IMAGE,
    ContainerTrouble,
    docker,
    run,
    wait_until,
)

HARDENED = (
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
)
ALONE = ("-e", "RAFTD_ID=a", "-e", "RAFTD_PEERS=a=127.0.0.1:7001/127.0.0.1:7002")
START_SECONDS = 60.0


def build() -> None:
    """Prints the size and how long it took."""
    begun = time.monotonic()
    run(["docker", "build", "--quiet", "--tag", IMAGE, "."], BUILD_SECONDS)
    took = time.monotonic() - begun
    base = _argument("PYTHON_IMAGE")
    sizes = [
        int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (IMAGE, base)
    ]
    whole, below = (size / 1e6 for size in sizes)
    print(
        f"  image: {whole:.0f} MB, {whole - below:.0f} MB of it on top of {base}; "
        f"built in {took:.0f} s"
    )


def _argument(name: str) -> str:
    """The default of one of the Dockerfile's arguments."""
    with open("Dockerfile", encoding="utf-8") as file:
        found = re.search(rf"^ARG {name}=(\S+)$", file.read(), re.M)
    if found is None:
        raise ContainerTrouble(f"Dockerfile: no ARG {name}")
    return found[1]


def check_image() -> None:
    """Not root; a read-only file system will do; SIGTERM as process 1; somebody else's volume."""
    _check_user()
    with _container("alone", ALONE) as name:
        begun = time.monotonic()
        wait_until(lambda: _healthy(name, "/readyz"), START_SECONDS, "a single node to serve")
        print(f"  image: a single node serves {time.monotonic() - begun:.1f} s after its start")
        docker("exec", name, "raftctl", "put", "key", "value")
        docker("stop", name)  # no init here: the daemon is process 1
        _expect_exit(name, 0)
        docker("start", name)
        wait_until(lambda: _healthy(name, "/readyz"), START_SECONDS, "it to serve again")
        if docker("exec", name, "raftctl", "get", "key").strip() != "value":
            raise ContainerTrouble("the single node lost its data in a restart")
    with _container("foreign", (*ALONE, "--user", "12345:12345")) as name:
        docker("wait", name, timeout=START_SECONDS)
        _expect_exit(name, 2)
        last = run(["sh", "-c", f"docker logs {name} 2>&1 | tail -n 1"], 20)
        if "cannot start: data_dir" not in last or "Traceback" in last:
            raise ContainerTrouble(f"a volume of another user: unclear: {last}")


def _check_user() -> None:
    words = ["run", "--rm", *HARDENED, "--entrypoint", "id", IMAGE, "-u"]
    if docker(*words).strip() == "0":
        raise ContainerTrouble("the image runs as root")


@contextlib.contextmanager
def _container(purpose: str, options: Sequence[str]) -> Iterator[str]:
    name = f"raftd-test-{os.getpid()}-{purpose}"
    try:
        docker("run", "--detach", "--name", name, *HARDENED, *options, IMAGE)
        yield name
    finally:
        with contextlib.suppress(ContainerTrouble):  # it may not have been made at all
            docker("rm", "--force", "--volumes", name)


def _healthy(name: str, path: str) -> bool:
    try:
        docker("exec", name, "python", "-IS", "/opt/raftd/probe.py", path)
    except ContainerTrouble:
        return False
    return True


def _expect_exit(name: str, wanted: int) -> None:
    code = int(docker("inspect", "--format", "{{.State.ExitCode}}", name))
    if code != wanted:
        raise ContainerTrouble(f"{name} ended with exit code {code}; expected {wanted}")
