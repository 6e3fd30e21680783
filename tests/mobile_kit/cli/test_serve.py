"""How the command `serve` begins, what it refuses, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue

import pytest

from mobile_kit.apps import serve
from tests.conftest import Answer
from tests.exports import ROOT, Export

pytest.importorskip("starlette", reason="the extra `serve` isn't installed")
pytest.importorskip("uvicorn", reason="the extra `serve` isn't installed")

Command = Callable[..., Answer]


def test_it_listens_on_the_loopback_alone() -> None:
    with serve._listening(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_ctrl_c_ends_it_calmly(digits: Export, views: list[tuple[bytes, str]]) -> None:
    command = [sys.executable, "-m", "mobile_kit", "serve", str(digits["tflite-fp32"]), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert process.stdout.readline() == "Ctrl+C ends it.\n"
        port = int(address.removeprefix("http://127.0.0.1:").removesuffix("/"))
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")


# Takes a while for every call but the first, which warms up.
SLOW = """
import sys, time
from mobile_kit.cli import main as cli
from mobile_kit.apps import serve
from mobile_kit.apps.web_preview import Preview
answer = Preview.answer
def slow(self, data, name):
    if name != "golden/photo.png":
        print("computing", flush=True)
        time.sleep(2)
    return answer(self, data, name)
Preview.answer, serve.STOPPING_S = slow, 1
sys.exit(cli.main(["serve", sys.argv[1], "--no-open"]))
"""


def test_ctrl_c_in_the_middle_of_a_call_is_as_calm(digits: Export, views: list[tuple[bytes, str]]) -> None:
    command = [sys.executable, "-c", SLOW, str(digits["tflite-fp32"])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().removeprefix("http://127.0.0.1:").removesuffix("/"))
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            head = f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(views[0][0])}\r\n\r\n"
            waiting.sendall(head.encode() + views[0][0])
            while process.stdout.readline() != "computing\n":
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "")


def test_a_port_in_use_is_said_in_a_line(digits: Export, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = command("serve", digits["tflite-fp32"], "--port", str(port), "--no-open")
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith(f"mobile-kit: --port {port}: can't be had (Address already in use).")


@pytest.mark.parametrize("port", ["-1", "65536", "http", "²"])
def test_what_is_no_port_is_refused(port: str, command: Command) -> None:
    answer = command("serve", "artifact", f"--port={port}")
    assert answer.code == 2
    assert f"'{port}' is no port from 0 to 65535" in answer.err


def test_port_0_takes_a_free_one(tmp_path: Path, command: Command) -> None:
    answer = command("serve", tmp_path, "--port", "0", "--no-open")
    assert (answer.code, "no manifest.json" in answer.err) == (1, True)


def test_an_artifact_without_a_runtime_here_says_why(delegates: Export, tmp_path: Path, command: Command) -> None:
    for artifact, reason in (
        (delegates["executorch-vulkan-fp32"], "vulkan delegate runs on a device only"),
        (tmp_path, "no manifest.json"),
    ):
        answer = command("serve", artifact, "--no-open")
        assert (answer.code, answer.out) == (1, "")
        (line,) = answer.err.splitlines()
        assert reason in line


@pytest.mark.usefixtures("paper_targets")
def test_an_artifact_without_its_golden_photo_is_refused(paper_artifact: Path, command: Command) -> None:
    manifest = json.loads((paper_artifact / "manifest.json").read_text())
    del manifest["files"]["golden/photo.png"]
    (paper_artifact / "manifest.json").write_text(json.dumps(manifest))
    (paper_artifact / "golden/photo.png").unlink()
    answer = command("serve", paper_artifact, "--no-open")
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert "golden/photo.png can't be read (No such file or directory). Export the model again." in line


def test_without_the_server_s_packages_the_command_to_install_them_is_named(
    digits: Export, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "MODULES", ("starlette_of_nobody",))
    answer = command("serve", digits["tflite-fp32"], "--no-open")
    assert (answer.code, answer.out) == (1, "")
    assert "needs starlette_of_nobody, which isn't installed. Run: pip install 'mobile-kit[serve]'" in answer.err


@pytest.mark.parametrize(("screen", "opened"), [({}, 0), ({"DISPLAY": ":0"}, 1), ({"WAYLAND_DISPLAY": "wayland-0"}, 1)])
@pytest.mark.skipif(sys.platform != "linux", reason="others always have a screen")
def test_a_browser_is_opened_where_there_is_a_screen(
    screen: dict[str, str], opened: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped:
        def run(self, sockets: list[socket.socket]) -> None:
            raise KeyboardInterrupt

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in screen.items():
        monkeypatch.setenv(name, value)
    asked, ended = Queue[str](), threading.Event()

    def browser(address: str) -> None:
        """Take the address, and be a browser that runs in the terminal until it is ended."""
        asked.put(address)
        ended.wait(60)

    monkeypatch.setattr(serve.webbrowser, "open", browser)
    monkeypatch.setattr(serve, "Preview", lambda folder: None)
    monkeypatch.setattr(serve, "server", lambda preview: Stopped())
    serve.serve(Path("artifact"))
    address, _ = capsys.readouterr().out.splitlines()
    if opened:
        assert asked.get(timeout=30) == address
    serve.serve(Path("artifact"), browse=False)
    ended.set()
    assert asked.empty()
