"""A headless Chromium, driven by its own WebDriver: no library is needed for a few requests."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from harness.ports import free_ports

SECONDS = 60.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element's id in the protocol."""

ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--window-size=1280,1150", "--hide-scrollbars", "--no-first-run", "--force-color-profile=srgb",
]  # fmt: skip


def missing() -> str:
    """Why there is no browser here; empty if there is one."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"not installed: {', '.join(absent)} (Debian: chromium, chromium-driver)" if absent else ""
    )


class Browser:
    """One window. A context manager: leaves no process behind."""

    def __init__(self, *, profile: Path) -> None:
        [self._port] = free_ports(1)
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._port}", "--log-level=OFF"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._session = ""
        arguments = [*ARGUMENTS, f"--user-data-dir={profile}"]
        options = {"binary": shutil.which("chromium"), "args": arguments}
        capabilities = {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}  # fmt: skip
        self.until(self._is_up, "chromedriver")
        made = self._call("POST", "/session", {"capabilities": capabilities})
        self._session = f"/session/{made['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._call("DELETE", self._session)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._driver.pid, signal.SIGKILL)
        self._driver.wait(SECONDS)

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def click(self, selector: str) -> None:
        self._call("POST", f"{self._session}/element/{self._element(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._call(
            "POST", f"{self._session}/element/{self._element(selector)}/value", {"text": text}
        )

    def act(self, actions: list[dict[str, Any]]) -> None:
        """Of keys and pointers, as in the protocol's "Perform Actions"."""
        self._call("POST", f"{self._session}/actions", {"actions": actions})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def prefer(self, scheme: str) -> None:
        """The system's choice, as the page sees it: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        body = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def complaints(self) -> list[str]:
        """Errors on the page's console, but those of a server that is gone."""
        lines = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        errors = [line["message"] for line in lines if line["level"] == "SEVERE"]
        return [line for line in errors if "net::ERR_" not in line]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for it. Raises AssertionError."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited {SECONDS:g} s for {what}"
            time.sleep(0.05)

    def _element(self, selector: str) -> str:
        body = {"using": "css selector", "value": selector}
        return str(self._call("POST", f"{self._session}/element", body)[ELEMENT])

    def _is_up(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except OSError:
            return False

    def _call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path}: {error.read().decode()[:500]}") from None
