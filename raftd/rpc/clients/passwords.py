"""Passwords as slow hashes, made and compared on a thread of their own.

A hash takes some 50 ms and 16 MiB on purpose. It is never made where commands are applied, and
never on the network thread, which would keep no promise meanwhile.

    hash    version u8 = 1, log2 of N u8, r u8, p u8, salt 16 bytes, scrypt's 32 bytes
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from struct import Struct
from typing import Final, TypeVar

from raftd.rpc.clients.login_queue import LoginQueue
from raftd.rpc.plumbing.connections import end_of

HEAD: Final = Struct("<BBBB")
VERSION: Final = 1
COST: Final = 14
"""log2 of N: with r = 8 a guess costs 16 MiB and some 50 ms, as scrypt's author advises for logins,
and about as long as etcd's bcrypt. The hash says what it was made with, so this may rise."""
BLOCK: Final = 8
LANES: Final = 1
MEMORY_BYTES_MAX: Final = 64 << 20
LANES_MAX: Final = 16
"""Hashes may come from whoever may write users: one that asks for more than this matches nothing,
or a login would take gigabytes, or minutes of the thread that all logins share."""
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
PASSWORD_BYTES_MAX: Final = 4096

Value = TypeVar("Value")


def make(password: str, salt: bytes) -> bytes:
    """Any thread but the network's."""
    return _hash(password, COST, BLOCK, LANES, salt)


def matches(password: str, hash: bytes) -> bool:
    """Any thread but the network's. A hash that this program cannot read matches nothing."""
    if len(hash) != HEAD.size + SALT_BYTES + KEY_BYTES:
        return False
    version, cost, block, lanes = HEAD.unpack_from(hash)
    if version != VERSION or not cost or not 1 <= lanes <= LANES_MAX:
        return False
    if not block or 128 * block << cost > MEMORY_BYTES_MAX:
        return False
    salt = hash[HEAD.size : HEAD.size + SALT_BYTES]
    return hmac.compare_digest(_hash(password, cost, block, lanes, salt), hash)


def _hash(password: str, cost: int, block: int, lanes: int, salt: bytes) -> bytes:
    key = hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=1 << cost,
        r=block,
        p=lanes,
        maxmem=256 * block * (1 << cost) + (1 << 20),
        dklen=KEY_BYTES,
    )
    return HEAD.pack(VERSION, cost, block, lanes) + salt + key


class Passwords:
    """Thread raft-password does the work; the methods: network thread.

    peer: who asks, as gRPC writes it: callers take turns by it (login_queue.py).
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "raft-password")
        self._queue = LoginQueue()
        self._busy = False

    async def make(self, password: str, peer: str) -> bytes:
        """A new salt, and the hash. Raises TooManyLogins."""
        return await self._run(lambda: make(password, secrets.token_bytes(SALT_BYTES)), peer)

    async def matches(self, password: str, hash: bytes, peer: str) -> bool:
        """hash: empty where there is no such user: that takes as long, and is never true.

        Raises TooManyLogins.
        """
        return await self._run(lambda: self._compare(password, hash), peer)

    def _compare(self, password: str, hash: bytes) -> bool:
        if hash:
            return matches(password, hash)
        make(password, bytes(SALT_BYTES))
        return False

    async def _run(self, work: Callable[[], Value], peer: str) -> Value:
        end = end_of(peer)
        turn = self._queue.add(end)
        if not self._busy:
            self._busy = self._queue.call_next()
        try:
            await turn
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._queue.leave(end, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._busy = self._queue.call_next()

    def close(self) -> None:
        """What waits is given up; a hash that is being made is waited for by nobody."""
        self._queue.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
