"""web_gunicorn.py on PySyncObj, which has no client: workers reach the nodes by a manager's socket.

    SELF=10.0.0.1:7001 PARTNERS=10.0.0.2:7001,10.0.0.3:7001 DATA=data KEY=secret \
    MANAGER=10.0.0.1:7002 MANAGERS=10.0.0.1:7002,10.0.0.2:7002,10.0.0.3:7002 \
        gunicorn -c examples/twins/gunicorn_pysyncobj.py --workers 4 examples.twins.gunicorn_pysyncobj:app
"""  # noqa: E501 - one command

import json
import os
import subprocess
import sys
import time
import uuid
from multiprocessing.managers import BaseManager, RemoteError
from pathlib import Path

REMEMBERED = 100_000
TIMEOUT, ATTEMPT = 20.0, 2.0


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


class SoldOut(Exception):
    pass


class Unavailable(Exception):
    pass


class Manager(BaseManager):
    pass


def serve():
    from pysyncobj import SyncObj, SyncObjConf, replicated_sync

    class Inventory(SyncObj):
        def __init__(self, me, partners, data):
            data.mkdir(parents=True, exist_ok=True)
            self.left = {}
            self.orders = 0
            self.answers = {}
            conf = SyncObjConf(
                journalFile=str(data / "journal"),
                fullDumpFile=str(data / "dump"),
                commandsWaitLeader=False,
            )
            super().__init__(me, partners, conf)

        def _remember(self, request, answer):
            self.answers[request] = answer
            while len(self.answers) > REMEMBERED:
                self.answers.pop(next(iter(self.answers)))
            return answer

        @replicated_sync(timeout=ATTEMPT)
        def deliver(self, request, item, amount):
            if request in self.answers:
                return self.answers[request]
            self.left[item] = self.left.get(item, 0) + amount
            return self._remember(request, self.left[item])

        @replicated_sync(timeout=ATTEMPT)
        def order(self, request, item):
            if request in self.answers:
                return self.answers[request]
            if not self.left.get(item):
                return self._remember(request, None)
            self.left[item] -= 1
            self.orders += 1
            return self._remember(request, self.orders)

        @replicated_sync(timeout=ATTEMPT)
        def in_stock(self, request, item):
            return self.left.get(item, 0)

    class Door:
        def ask(self, method, *args):
            return getattr(inventory, method)(*args)

    partners = os.environ["PARTNERS"].split(",")
    inventory = Inventory(os.environ["SELF"], partners, Path(os.environ["DATA"]))
    Manager.register("door", Door)
    manager = Manager(address(os.environ["MANAGER"]), os.environ["KEY"].encode())
    manager.get_server().serve_forever()


def when_ready(server):
    server.node = subprocess.Popen([sys.executable, __file__])


def on_exit(server):
    server.node.terminate()
    server.node.wait()


doors = {}


def door(where):
    if where not in doors:
        Manager.register("door")
        manager = Manager(address(where), os.environ["KEY"].encode())
        manager.connect()
        doors[where] = manager.door()
    return doors[where]


def again_until_done(method, *args):
    """An attempt may have been done though it failed, so all attempts have one name."""
    request, deadline = uuid.uuid4().hex, time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        for where in os.environ["MANAGERS"].split(","):
            try:
                return door(where).ask(method, request, *args)
            except (RemoteError, OSError, EOFError):
                doors.pop(where, None)
            except Exception as error:
                if type(error).__name__ != "SyncObjException":
                    raise
        time.sleep(0.05)
    raise Unavailable("no leader was found in time")


def answer(method, path):
    match method, path.strip("/").split("/"):
        case "POST", ["deliver", item, amount]:
            return again_until_done("deliver", item, int(amount))
        case "POST", ["order", item]:
            number = again_until_done("order", item)
            if number is None:
                raise SoldOut(f"{item} is sold out")
            return number
        case "GET", ["stock", item]:
            return again_until_done("in_stock", item)
    raise SoldOut("there is no such page")


def app(environ, start_response):
    try:
        status, body = "200 OK", answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    except SoldOut as error:
        status, body = "409 Conflict", str(error)
    except Unavailable as error:
        status, body = "503 Service Unavailable", str(error)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


if __name__ == "__main__":
    serve()
