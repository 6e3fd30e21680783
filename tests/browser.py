"""Drive a headless Chromium over the DevTools protocol, through its pipe: no server, no package.

Messages are JSON with a NUL behind each, to the browser's descriptor 3 and from its 4 (`--remote-debugging-pipe`).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browsing = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# A page's answer on a machine that is busy with others.
PATIENCE_S = 30.0
# Puts two descriptors into the places 3 and 4 and becomes the browser. Either may be in the other's place.
MOVED = """
import fcntl, os, sys
kept = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]
for place, each in zip((3, 4), kept):
    os.dup2(each, place)
    os.close(each)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """An open page. A word of its console or an uncaught error is kept in `complaints`."""

    def __init__(self, reading: int, writing: int) -> None:
        self.complaints: list[str] = []
        self._reading, self._writing = reading, writing
        self._left = b""
        self._asked = 0
        self._loaded: set[str] = set()
        self._session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.setLifecycleEventsEnabled", enabled=True)

    def send(self, method: str, **parameters: Any) -> Any:
        """Give a command and return its result."""
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            self._keep(answer)
            if answer.get("id") == self._asked:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def tell(self, expression: str) -> Any:
        """Return what an expression of the page is, waiting where it is a promise."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Return what an expression is as soon as it is true."""
        end = time.monotonic() + PATIENCE_S
        while not (found := self.tell(expression)):
            assert time.monotonic() < end, f"{expression} doesn't come; {self.complaints}"
            time.sleep(0.05)
        return found

    def open(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        loader = self.send("Page.navigate", url=address)["loaderId"]
        while loader not in self._loaded:
            self._keep(self._next())

    def look(self, width: int, dark: bool = False) -> None:
        """Be a screen of so many pixels, light or dark."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def drop(self, paths: Sequence[Path], selector: str) -> None:
        """Drop files on an element, as a mouse would."""
        place = self.tell(
            f"(() => {{const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            "return {x: b.x + b.width / 2, y: b.y + b.height / 2}})()"
        )
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, data=data, **place)

    def choose(self, path: Path, selector: str) -> None:
        """Give a file to a file chooser."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def picture(self) -> bytes:
        """Return the whole page as a PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _next(self) -> Any:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._reading], [], [], PATIENCE_S)
            assert ready, "the browser says nothing"
            read = os.read(self._reading, 1 << 20)
            assert read, "the browser has ended"
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def _keep(self, message: Any) -> None:
        """Keep what the page's console says, errors and what its policy refused, and which documents are loaded."""
        said = message.get("params", {})
        if message.get("method") == "Page.lifecycleEvent" and said["name"] == "load":
            self._loaded.add(said["loaderId"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])


@contextmanager
def opened(profile: Path, *options: str) -> Iterator[Page]:
    """Start a browser with a profile of its own, and yield its one page."""
    assert BROWSER is not None
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    command = [sys.executable, "-c", MOVED, str(commands_out), str(answers_in)]
    command += [BROWSER, *OPTIONS, f"--user-data-dir={profile}", *options]
    browser = subprocess.Popen(
        command, pass_fds=(commands_out, answers_in), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Page(answers_out, commands_in)
    finally:
        os.close(commands_in)
        os.close(answers_out)
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
