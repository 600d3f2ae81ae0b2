"""A headless browser, driven over its own pipe: no package but the browser is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Page:
    """One page of a browser, and what it said and asked for."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, timeout: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events that come meanwhile are kept."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self._next(end - time.monotonic(), method)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self, timeout: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(timeout, 0.0))
            received = os.read(self._read, 1 << 20) if ready else b""
            if not received:
                raise TimeoutError(f"the browser did not answer {waiting_for}")
            self._rest += received
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def open(self, url: str) -> None:
        """Open a page with the network cut."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Network.emulateNetworkConditions",
            offline=True,
            latency=0,
            downloadThroughput=0,
            uploadThroughput=0,
        )
        self.ask("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout: float = 60.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + timeout
        while not self.evaluate(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} did not come true; {self.complaints()}")
            time.sleep(0.2)

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def complaints(self, *levels: str) -> list[str]:
        """Return what the console has of these levels, and exceptions that nobody caught."""
        self.ask("Runtime.evaluate", expression="0")  # whatever it has to tell is told before
        levels = levels or ("error", "warning")
        found = []
        for event in self.events:
            method, told = event.get("method"), event.get("params", {})
            if method == "Runtime.consoleAPICalled" and told["type"] in levels:
                found.append(" ".join(str(a.get("value", a)) for a in told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in levels:
                found.append(told["entry"]["text"])
            elif method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
        return found

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, data inside it left out."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]


@contextmanager
def browser(program: str, profile: Path, size: tuple[int, int] = (1280, 800)) -> Iterator[Page]:
    """Start a Chromium of one's own without a window, and end it."""
    commands, answers = os.pipe(), os.pipe()

    def pipes() -> None:
        # Where the browser looks for them; moved up first, lest one overwrite the other.
        high = [os.dup(fd) for fd in (commands[0], answers[1])]
        spare = [fd for fd in high if fd in (3, 4)]
        assert not spare
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
            *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
            "--disable-dev-shm-usage",
        ],
        preexec_fn=pipes,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    try:
        yield Page(answers[0], commands[1])
    finally:
        os.close(commands[1])  # the browser ends with its pipe
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers[0])
