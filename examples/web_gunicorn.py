"""A web application under gunicorn: one node a machine, and any number of workers that are clients.

    NODE=node.yaml NODES=10.0.0.1:7002,10.0.0.2:7002,10.0.0.3:7002 \
        gunicorn -c examples/web_gunicorn.py --workers 4 --preload examples.web_gunicorn:app

This file is all of it: what the nodes keep, gunicorn's settings, and the application. node.yaml has
the line `machine: examples.web_gunicorn:Machine`. Workers are forked; the client may be made before
that, as it begins with its first call. A worker whose node is gone asks those of other machines.
"""

import json
import os
import subprocess
import sys
from dataclasses import field

from raftd.client import RaftdError
from raftd.objects import CommandRefused, Objects, command, machine_of, query, replicated


@replicated
class Inventory:
    left: dict[str, int] = field(default_factory=dict)
    orders: int = 0

    @command
    def deliver(self, item: str, amount: int) -> int:
        self.left[item] = self.left.get(item, 0) + amount
        return self.left[item]

    @command
    def order(self, item: str) -> int:
        if not self.left.get(item):
            raise CommandRefused(f"{item} is sold out")
        self.left[item] -= 1
        self.orders += 1
        return self.orders

    @query
    def in_stock(self, item: str) -> int:
        return self.left.get(item, 0)


class Shop(Objects):
    inventory = Inventory()


Machine = machine_of(Shop)


def when_ready(server):
    serve = [sys.executable, "-m", "raftd", "serve", "--config", os.environ["NODE"]]
    server.raftd = subprocess.Popen(serve)


def on_exit(server):
    server.raftd.terminate()
    server.raftd.wait()


shop = Shop.connect(os.environ.get("NODES", "127.0.0.1:7002"), timeout=20)


def answer(method, path):
    match method, path.strip("/").split("/"):
        case "POST", ["deliver", item, amount]:
            return shop.inventory.deliver(item, int(amount))
        case "POST", ["order", item]:
            return shop.inventory.order(item)
        case "GET", ["stock", item]:
            return shop.inventory.in_stock(item)
    raise CommandRefused("there is no such page")


def app(environ, start_response):
    try:
        status, body = "200 OK", answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    except CommandRefused as error:
        status, body = "409 Conflict", str(error)
    except RaftdError as error:
        status, body = "503 Service Unavailable", str(error)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
