"""Serve an artifact's page in this process, and ask it."""

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mobile_kit.apps.web_preview import Preview

TIMEOUT_S = 120


@dataclass(frozen=True)
class Said:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running preview."""

    preview: Preview
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        """Send a request; headers by names with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Said(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextmanager
def served(artifact: Path) -> Iterator[Server]:
    """Serve an artifact on a free port."""
    from mobile_kit.apps.serve import server

    preview = Preview(artifact)
    running = server(preview)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Server(preview, listening.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join(TIMEOUT_S)


def encoded(pixels: Any, kind: str = "PNG") -> bytes:
    """Return a picture as a file's bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()
