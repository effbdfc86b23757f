"""The built-in state machine: a key-value store with etcd's revisions, history, watch and leases.

What other rooms call. All of it runs on the machine's own thread, which is raft-net for this store,
the thread of the loop that serves both ports; a snapshot is restored on another one (whole.py).
Nothing here waits.

**Commands and queries** travel as bytes through the node, like those of any machine:

- `wire.kv`: put, delete, compare-and-set, batch, get, range: the first clients' words;
- `wire.txn` and `wire.txn_answers`: transactions. A put with options, a delete of a range and a
  read at a revision are transactions of one operation. One that writes nothing is sent as a query
  (then it costs no entry; `stale` for etcd's serializable), any other as a command;
- `wire.leases`: compact, grant, revoke as commands; list and status as queries on any node; renew
  and time to live as queries *on the leader*: elsewhere they are refused by NOT_PRIMARY. A renewal
  that was asked with a read round (not stale) counts from a moment at which this node still led.

A refusal (status MACHINE_ERROR) is one of the texts of `wire.refusals`, in etcd's words, or a text
of the decoders; nothing was changed then. Checks of etcd's API that need no state (128 operations,
sort options) are the server's; the limits of the formats are larger.

**Watch**: `KvStore.watches`, a `WatchHub` (`watch.py`)::

    watcher = store.watches.subscribe(
        key, range_end, start_revision=0, on_ready=..., no_put=False, no_delete=False, prev_kv=False
    )
    delivery = watcher.take(events_max, bytes_max)
    watcher.cancel()

`on_ready()` is called, once, when there is something to take after `take` had left nothing; it must
only note that (wake a sender). `take` then returns a `Delivery`:

- `revisions`: [(revision, [Event(key, kv, previous)])], ascending, all of a revision together;
  `kv` None means deleted. Each revision comes once, and none that matches is left out;
- `goes_on`: this is a part of one revision, which changed more than some hundred keys, and what is
  taken next belongs to it, too;
- `revision`: everything up to it has been handed over: a progress report, a resume point;
- `more`: there is more to take now; take again in a later turn of the loop;
- `compacted`: not 0: `start_revision` (or where the watcher stood) is gone; the watcher has ended.

start_revision 0 means from the next revision on; one in the future is waited for in silence. A
watcher that does not take costs a bounded number of events: past that it is parked, and what it
missed is read from the history when it takes again. A snapshot that is installed is read the same
way. A node that restarts has no watchers; they come again with `start_revision`.

**Leases**: expiry is proposed by the leader, through its log, in the term in which it counted the
time; a new leader first gives every lease its whole time again. `KvStore.leases` is the table.

**History** is kept since the last compaction; the leader proposes one when there is too much of it
(`KvStore.retention`).
"""
