"""Configuration that reloads itself: a dict that always holds what the cluster has under a prefix.

    python -m examples.live_config 127.0.0.1:7002,127.0.0.1:7102,127.0.0.1:7202 app/

prints every change. Put some from a second shell: `raftctl put app/colour green`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from raftd.client import Client, Compacted, Unavailable, Watch
from raftd.client.txn import RangeAnswer, get_prefix


class LiveConfig:
    """`settings` is replaced as a whole after each change, so a reader needs no lock.

    on_change: called with the new settings before they are applied, on the thread that follows the
    changes. If it raises, that is said, and the settings of before stay until the next change.
    """

    def __init__(
        self, client: Client, prefix: str, on_change: Callable[[dict[str, str]], object]
    ) -> None:
        self._newest: dict[str, str] = {}
        self._client = client
        self._prefix = prefix
        self._on_change = on_change
        self._watch = self._read()
        on_change(self._newest)
        self.settings = self._newest
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="live-config", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._watch.close()
        self._thread.join()

    def _read(self) -> Watch:
        """Everything at one revision, and a watch on all that comes after it."""
        answer = self._client.txn(then=[get_prefix(self._prefix)])
        (found,) = answer.responses
        assert isinstance(found, RangeAnswer)
        self._newest = {self._name(kv.key): kv.value.decode() for kv in found.kvs}
        return self._client.watch(prefix=self._prefix, start_revision=answer.revision + 1)

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                while changes := self._watch.take(None):
                    settings = dict(self._newest)
                    for change in changes:
                        if change:
                            settings[self._name(change.key)] = change.value.decode()
                        else:
                            settings.pop(self._name(change.key), None)
                    self._newest = settings
                    self._apply(settings)
            except Compacted:  # away for so long that the changes are gone: read it all again
                with suppress(Unavailable):  # then once more: the watch says Compacted again
                    self._watch = self._read()
                    self._apply(self._newest)
                if self._closed.is_set():
                    self._watch.close()

    def _apply(self, settings: dict[str, str]) -> None:
        try:
            self._on_change(settings)
        except Exception as error:  # noqa: BLE001 - whatever a program of yours raises
            print(f"{settings}: not applied: {error!r}", file=sys.stderr, flush=True)
        else:
            self.settings = settings

    def _name(self, key: bytes) -> str:
        return key.decode().removeprefix(self._prefix)


def main() -> None:
    endpoints, prefix = sys.argv[1:]
    with Client(endpoints) as client:
        config = LiveConfig(client, prefix, lambda settings: print(settings, flush=True))
        try:
            threading.Event().wait()
        finally:
            config.close()


if __name__ == "__main__":
    main()
