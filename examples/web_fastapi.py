"""A web application with a node in it: FastAPI, started and stopped by the application's lifespan.

    NODE=node.yaml uvicorn examples.web_fastapi:app --port 8000

One such process on each of three machines; `id` differs in their node.yaml. Every request may go to
any of them. An order that was answered counts exactly once and is on the disks of a majority, also
if the machine that led dies meanwhile. One process a node: leave uvicorn's --workers at 1.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import field

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from raftd.client import RaftdError
from raftd.objects import CommandRefused, Objects, command, query, replicated


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


shop = Shop.open(os.environ["NODE"], timeout=20)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with shop:
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(RaftdError)
async def failed(_: Request, error: RaftdError) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 409 if isinstance(error, CommandRefused) else 503)


@app.post("/deliver/{item}/{amount}")
async def deliver(item: str, amount: int) -> int:
    return await shop.inventory.deliver.aio(item, amount)


@app.post("/order/{item}")
async def order(item: str) -> int:
    return await shop.inventory.order.aio(item)


@app.get("/stock/{item}")
async def stock(item: str) -> int:
    return await shop.inventory.in_stock.aio(item)
