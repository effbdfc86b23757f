"""web_fastapi.py on PySyncObj.

    SELF=10.0.0.1:7001 PARTNERS=10.0.0.2:7001,10.0.0.3:7001 DATA=data \
        uvicorn examples.twins.fastapi_pysyncobj:app --port 8000
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pysyncobj import SyncObj, SyncObjConf, SyncObjException, replicated_sync

REMEMBERED = 100_000
TIMEOUT, ATTEMPT = 20.0, 2.0


class SoldOut(Exception):
    pass


class Unavailable(Exception):
    pass


class Inventory(SyncObj):
    def __init__(self, me: str, partners: list[str], data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.left: dict[str, int] = {}
        self.orders = 0
        self.answers: dict[str, object] = {}
        conf = SyncObjConf(
            journalFile=str(data / "journal"),
            fullDumpFile=str(data / "dump"),
            commandsWaitLeader=False,
        )
        super().__init__(me, partners, conf)

    def _remember(self, request: str, answer: object) -> object:
        self.answers[request] = answer
        while len(self.answers) > REMEMBERED:
            self.answers.pop(next(iter(self.answers)))
        return answer

    @replicated_sync(timeout=ATTEMPT)
    def deliver(self, request: str, item: str, amount: int) -> object:
        if request in self.answers:
            return self.answers[request]
        self.left[item] = self.left.get(item, 0) + amount
        return self._remember(request, self.left[item])

    @replicated_sync(timeout=ATTEMPT)
    def order(self, request: str, item: str) -> object:
        if request in self.answers:
            return self.answers[request]
        if not self.left.get(item):
            return self._remember(request, None)
        self.left[item] -= 1
        self.orders += 1
        return self._remember(request, self.orders)

    @replicated_sync(timeout=ATTEMPT)
    def in_stock(self, request: str, item: str) -> object:
        """Through the log: a look at this node's own dict may be as old as one likes."""
        return self.left.get(item, 0)


def again_until_done(method, *args):
    """An attempt may have been done though it failed, so all attempts have one name."""
    request, deadline = uuid.uuid4().hex, time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            return method(request, *args)
        except SyncObjException:
            time.sleep(0.05)
    raise Unavailable


async def call(method, *args):
    answer = await asyncio.to_thread(again_until_done, method, *args)
    if answer is None:
        raise SoldOut(f"{args[0]} is sold out")
    return answer


inventory: Inventory


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    global inventory
    partners = os.environ["PARTNERS"].split(",")
    inventory = Inventory(os.environ["SELF"], partners, Path(os.environ["DATA"]))
    yield
    inventory.destroy()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(SoldOut)
async def sold_out(_: Request, error: SoldOut) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 409)


@app.exception_handler(Unavailable)
async def unavailable(_: Request, error: Unavailable) -> JSONResponse:
    return JSONResponse({"error": "no leader was found in time"}, 503)


@app.post("/deliver/{item}/{amount}")
async def deliver(item: str, amount: int) -> int:
    return await call(inventory.deliver, item, amount)


@app.post("/order/{item}")
async def order(item: str) -> int:
    return await call(inventory.order, item)


@app.get("/stock/{item}")
async def stock(item: str) -> int:
    return await call(inventory.in_stock, item)
