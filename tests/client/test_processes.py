"""Programs that fork, that end without close(), that use their client in an atexit handler."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.client.fake_server import FakeCluster

HEAD = """
import os, sys, threading, time
from raftd.client import Client, NotDone
client = Client(sys.argv[1], timeout=60.0)

def in_child(work):
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except NotDone as error:
            print(type(error).__name__, time.monotonic() - started < 20, flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def put(value):
    print("put", client.put("k", value).version, flush=True)

def put_by_another():
    print("put", Client(sys.argv[1]).put("k", "c").version, flush=True)
"""
PROGRAMS = {
    "the environment is its own": (
        "put('x'); print([name for name in os.environ if name.startswith('GRPC')])",
        "put 1\n[]\n",
    ),
    "made before the fork": ("in_child(lambda: put('child')); put('parent')", "put 1\nput 2\n"),
    "used before the fork": (
        "put('parent'); in_child(lambda: put('child')); in_child(lambda: put('child')); put('x')",
        "put 1\nput 2\nput 3\nput 4\n",
    ),
    "a client of its own": (
        "put('parent'); in_child(put_by_another)",
        "put 1\nput 2\n",
    ),
    "closed before the fork": (
        "put('x'); client.close(); in_child(put_by_another)",
        "put 1\nput 2\n",
    ),
    "closed in the child": ("put('x'); in_child(client.close); put('y')", "put 1\nput 2\n"),
    "busy while it forks": (
        """
        def load():
            while True:
                client.put("load", "x")
        threading.Thread(target=load, daemon=True).start()
        while not client.get("load"):
            pass
        for _ in range(40):  # until a fork meets a call under way
            in_child(lambda: client.get("load"))
        print("over")
        """,
        "over\n",
    ),
    "it begins while another thread forks": (
        """
        from raftd.client.faces import starting
        made = starting.make_engine
        async def slowly(*given):
            engine = await made(*given)
            forking.set()
            time.sleep(0.3)  # on the loop's thread: the caller does not have its engine yet
            return engine
        forking = threading.Event()
        starting.make_engine = slowly
        other = threading.Thread(target=lambda: put("other"))
        other.start()
        forking.wait()
        starting.make_engine = made
        in_child(lambda: None)
        other.join()
        put("parent")
        """,
        "put 1\nput 2\n",
    ),
    "a lease and a watch": (
        """
        lease = client.lease(1)
        watch = client.watch("k").begin()
        in_child(lambda: print("child", bool(lease), flush=True))
        ends = lease.keeper.deadline
        while lease.keeper.deadline == ends:  # it is renewed by itself
            assert lease, "lost in the parent"
            time.sleep(0.01)
        put("x")
        print("event", watch.take(60.0)[0].value)
        put("y")
        print("event", watch.take(60.0)[0].value)
        lease.revoke()
        """,
        "child False\nput 1\nevent b'x'\nput 2\nevent b'y'\n",
    ),
    "a lock that is waited for": (
        """
        from raftd.client.recipes.watch import Watcher
        waits, take = threading.Event(), Watcher.take
        async def noted(self, engine, timeout):
            waits.set()
            return await take(self, engine, timeout)
        Watcher.take = noted
        held, owners = client.lock("l"), []
        held.acquire()
        other = threading.Thread(target=lambda: owners.append(client.lock("l").acquire()))
        other.start()
        waits.wait()
        waits.clear()
        in_child(lambda: print("child", flush=True))
        waits.wait()
        time.sleep(0.1)
        held.release()
        other.join()
        print(bool(owners[0]))
        """,
        "child\nTrue\n",
    ),
    "never closed": ("put('x')", "put 1\n"),
    "never closed, a daemon thread at work": (
        """
        def load():
            while True:
                client.put("load", "x")
        threading.Thread(target=load, daemon=True).start()
        put("x")
        """,
        "put 1\n",
    ),
    "a late atexit handler": (
        "import atexit; atexit.register(lambda: put('late')); put('x')",
        "put 1\nput 2\n",
    ),
}


WITH_THREADS = {
    "busy while it forks",
    "it begins while another thread forks",
    "a lease and a watch",
    "a lock that is waited for",
}


def run_program(cluster: FakeCluster, body: str) -> tuple[int, str, list[str]]:
    """HEAD and the body in a process of their own: the exit code, its output, its error lines."""
    code = HEAD + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, ",".join(cluster.endpoints)],
        env={name: value for name, value in os.environ.items() if not name.startswith("GRPC")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(cluster: FakeCluster, name: str) -> None:
    """Nothing is printed beside what it says itself, and nothing waits for a time-out."""
    body, expected = PROGRAMS[name]
    code, out, err = run_program(cluster, body)
    out = out.replace("WrongProcess True\n", "") if "busy" in name else out
    if name in WITH_THREADS:  # on a busy machine gRPC may outlive our wait for it, and says so
        err = [line for line in err if "fork_posix.cc" not in line]
    assert (code, out, err) == (0, expected, [])


def test_an_atexit_handler_older_than_the_client_is_told_at_once(cluster: FakeCluster) -> None:
    code = """
        import atexit, sys
        def deregister():
            try:
                client.delete("k")
            except NotDone as error:
                print(error)
        atexit.register(deregister)
        from raftd.client import Client, NotDone
        client = Client(sys.argv[1])
        client.put("k", "v")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), ",".join(cluster.endpoints)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the process ends, and its raftd clients have been stopped\n"


def test_gevent_is_refused_at_once(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, connect: object
) -> None:
    from types import SimpleNamespace

    from raftd.client import Client, WrongProcess

    patched = SimpleNamespace(is_module_patched=lambda name: name == "threading")
    monkeypatch.setitem(sys.modules, "gevent.monkey", patched)
    with pytest.raises(WrongProcess, match="gevent has patched `threading`"):
        Client(cluster.endpoints).put("k", "v")
