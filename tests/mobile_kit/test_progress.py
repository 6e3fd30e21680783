import io
import re
import sys
import threading

import pytest

from mobile_kit.progress import Progress


def test_plain_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.stage("tflite-fp32", "lowering (fp32)")
        progress.stage("tflite-fp32", "verified", done=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert [re.sub(r"\d+", "0", line) for line in err.splitlines()] == [
        "[    0 s] tflite-fp0: lowering (fp0)",
        "[    0 s] tflite-fp0: verified",
    ]


def test_nothing_where_it_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True) as progress:
        progress.stage("tflite-fp32", "lowering")
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_a_job_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Progress() as progress:
        for stage in ("lowering", "verifying"):
            for job in ("coreml-fp32", "tflite-fp32"):
                progress.stage(job, stage)
        progress.stage("tflite-fp32", "verified", done=True)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").split("\n")
    shown = [line.split() for line in last if line.strip()][-2:]
    assert shown[0][1:3] == ["coreml-fp32", "verifying"]
    assert shown[1][0:2] == ["tflite-fp32", "verified"]
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


def test_threads_may_report_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        threads = [
            threading.Thread(target=lambda n=n: [progress.stage(f"job-{n}", "works") for _ in range(50)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 400
    assert all(re.fullmatch(r"\[ +\d+ s\] job-\d: works", line) for line in lines)
