"""A local web page on which an artifact can be tried: images go in by mouse, keyboard or camera.

It listens on the loopback interface only, and answers nothing but its own page: not a site whose name was made to
point here (its Host is another), and not a form on one (its Origin is another).
"""

import asyncio
import logging
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mobile_kit import __version__
from mobile_kit.apps.web_preview import Preview
from mobile_kit.errors import DeviceError, ImageError, MissingToolError, MobileKitError

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["MAX_BYTES", "serve", "server"]

HOST = "127.0.0.1"
# Of an image file; a camera's largest photos as PNG are about that.
MAX_BYTES = 64 << 20
# Browsers open up to six, so that two windows and a script have room.
MOST_CONNECTIONS = 16
STOPPING_S = 2
TEMPLATE = "serve.html.j2"
MODULES = ("starlette", "uvicorn")
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Next = Callable[["Request"], Awaitable["Response"]]


def serve(folder: Path, port: int = 0, browse: bool = True) -> None:
    """Serve an artifact's page until it is stopped; print its address. port: 0 takes a free one.

    Raises: MissingToolError; DeviceError where the port can't be had; ArtifactError and UnsupportedError where the
    artifact can't be run here.
    """
    missing = [module for module in MODULES if find_spec(module) is None]
    if missing:
        raise MissingToolError(
            f"serve: needs {', '.join(missing)}, which isn't installed. Run: pip install 'mobile-kit[serve]'"
        )
    with _listening(port) as listening:
        running = server(Preview(folder))
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        print(f"{address}\nCtrl+C ends it.", flush=True)
        if browse and _has_screen():
            # Some browsers are waited for, seconds or until they end, and they wait for the page.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        # It is how people end it.
        with suppress(KeyboardInterrupt), _ending_quietly(running):
            running.run(sockets=[listening])


def server(preview: Preview) -> "uvicorn.Server":
    """Return the server of an artifact's page, to be run on a socket that listens."""
    import uvicorn

    config = uvicorn.Config(
        _application(preview),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="error",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=STOPPING_S,
    )
    return uvicorn.Server(config)


def _application(preview: Preview) -> "Starlette":
    """Return the application: the page, the golden photo, and answers to images."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    # Runtimes compute one call at a time, and warm up in the thread that computes.
    thread = ThreadPoolExecutor(1)
    thread.submit(preview.warm_up).result()
    facts = preview.facts()

    async def page(_: Request) -> Response:
        nonce = secrets.token_urlsafe(18)
        text = _page(nonce=nonce, version=__version__, max_bytes=MAX_BYTES, **facts)
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY.format(nonce=nonce)})

    async def golden(_: Request) -> Response:
        return Response(preview.golden_photo, media_type="image/png")

    async def answer(request: Request) -> Response:
        name = request.query_params.get("name", "upload")[:200]
        try:
            data = await _body(request)
            loop = asyncio.get_running_loop()
            return JSONResponse(await loop.run_in_executor(thread, preview.answer, data, name))
        except ImageError as exc:
            return JSONResponse({"error": str(exc)}, 413 if isinstance(exc, _TooLargeError) else 400)
        except MobileKitError as exc:
            return JSONResponse({"error": str(exc)}, 500)
        except ClientDisconnect:
            return Response(status_code=400)

    routes = [Route("/", page), Route("/golden.png", golden), Route("/answer", answer, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=_guard)])


async def _guard(request: "Request", follow: Next) -> "Response":
    """Refuse what another site sends, and forbid browsers what the page doesn't need."""
    from starlette.responses import JSONResponse

    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if host.partition(":")[0] not in {HOST, "localhost"} or origin not in {None, f"http://{host}"}:
        reason = f"the page is served to this machine alone, as http://{HOST} with its port. Open it there."
        return JSONResponse({"error": reason}, 403, HEADERS)
    response = await follow(request)
    response.headers.update(HEADERS)
    return response


class _TooLargeError(ImageError):
    """An image file has more bytes than are taken."""


async def _body(request: "Request") -> bytes:
    """Read an image's bytes, no more than are taken."""
    told = request.headers.get("content-length", "0")
    data = bytearray()
    if int(told) <= MAX_BYTES:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BYTES:
                break
    if max(int(told), len(data)) > MAX_BYTES:
        raise _TooLargeError(f"image: has more than {MAX_BYTES >> 20} MB. Scale it down first.")
    if not data:
        raise ImageError("image: no bytes were sent. Choose a PNG or JPEG file.")
    return bytes(data)


def _page(**values: object) -> str:
    """Return the page. Words of the artifact are escaped, whatever they are."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("mobile_kit.apps", ""), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(TEMPLATE).render(values)


def _listening(port: int) -> socket.socket:
    """Return a socket that listens, so that the address can be told before the first answer."""
    listening = socket.socket()
    try:
        if os.name == "posix":  # a port that was just left; elsewhere the option lets two programs have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()
    except OSError as exc:
        listening.close()
        way = "Leave --port out, and a free one is taken"
        raise DeviceError(f"--port {port}: can't be had ({exc.strerror}). {way}.") from exc
    return listening


@contextmanager
def _ending_quietly(running: "uvicorn.Server") -> Iterator[None]:
    """Leave out the tracebacks that uvicorn writes of the calls that its end cuts short."""

    def going_on(_: logging.LogRecord) -> bool:
        return not running.should_exit

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(going_on)
    try:
        yield
    finally:
        logger.removeFilter(going_on)


def _has_screen() -> bool:
    """Whether a browser would have a window; without a desktop, a terminal's browser would take the terminal."""
    return sys.platform in {"darwin", "win32"} or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
