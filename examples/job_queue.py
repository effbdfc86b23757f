"""A job queue whose jobs are finished once, whatever becomes of the workers.

    python -m examples.job_queue ENDPOINTS add 'any text'
    python -m examples.job_queue ENDPOINTS work

A worker claims a job with a key that ends with its lease. If it dies, the claim ends and another
worker takes the job. If it was only slow (a paused machine, a dead network), it comes back and
wants to finish a job that is another's by now: the *fencing token* of its claim refuses that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from raftd.client import Client, Lease
from raftd.client.txn import absent, create_revision, delete, exists, put

TODO, CLAIMS, DONE = "jobs/todo/", "jobs/claims/", "jobs/done/"
TTL_S = 10


@dataclass(frozen=True)
class Job:
    """A job that is claimed. token: greater than that of every claim of it before."""

    id: str
    text: str
    token: int


def add(client: Client, text: str) -> str:
    """The new job's id; jobs are done in the order in which they were added, more or less."""
    job_id = f"{time.time_ns():020d}-{uuid4().hex[:8]}"
    client.put(TODO + job_id, text)
    return job_id


def claim(client: Client, lease: Lease) -> Job | None:
    """The oldest job that nobody works on, for as long as the lease lives."""
    for kv in client.range(TODO).kvs:
        job_id = kv.key.decode().removeprefix(TODO)
        claimed = client.txn(
            when=[exists(kv.key), absent(CLAIMS + job_id)],
            then=[put(CLAIMS + job_id, "", lease=lease.id)],
        )
        if claimed:
            return Job(job_id, kv.value.decode(), claimed.revision)
    return None


def finish(client: Client, job: Job, result: str) -> bool:
    """False: the claim was lost meanwhile, and nothing was changed."""
    return bool(
        client.txn(
            when=[create_revision(CLAIMS + job.id) == job.token],
            then=[delete(TODO + job.id), delete(CLAIMS + job.id), put(DONE + job.id, result)],
        )
    )


def work(client: Client, do: Callable[[str], str], *, until_empty: bool = False) -> int:
    """Do jobs, for ever or until none is left that is free; how many were finished here."""
    finished = 0
    with client.lease(TTL_S) as lease, client.watch(prefix="jobs/") as changes:
        while True:
            lease.check()
            job = claim(client, lease)
            if job is not None:
                finished += finish(client, job, do(job.text))
            elif until_empty:
                return finished
            else:
                changes.take(TTL_S)


def show(text: str) -> str:
    """What a job of this example is: to be printed."""
    print(text, flush=True)
    return "printed"


def main() -> None:
    endpoints, action, *words = sys.argv[1:]
    with Client(endpoints) as client:
        if action == "add":
            print(add(client, " ".join(words)))
        else:
            work(client, show)


if __name__ == "__main__":
    main()
