"""What long work shows: one live line a job on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from mobile_kit.errors import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Live
    from rich.progress import TaskID

__all__ = ["Progress"]


class Progress(AbstractContextManager["Progress"]):
    """Shows the stage of each job on standard error. Use as a context manager; safe to call from threads."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._tasks: dict[str, TaskID] = {}
        self._start = time.monotonic()

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Live
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (
                SpinnerColumn(finished_text=" "),
                # What is shown are names and paths, of which none is markup.
                TextColumn("{task.fields[job]:<22}", markup=False),
                TextColumn("{task.description}", markup=False),
            )
            self._live = Live(*columns, TimeElapsedColumn(), console=Console(stderr=True))
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say something that belongs to no job."""
        text = plain(text)
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif not self._quiet:
            sys.stderr.write(f"{text}\n")

    def stage(self, job: str, text: str, done: bool = False) -> None:
        """Say what a job does now."""
        text = plain(text)
        if self._quiet:
            return
        if self._live is None:
            # In one piece: print would write the line's end by itself, and threads mix.
            sys.stderr.write(f"[{time.monotonic() - self._start:5.0f} s] {job}: {text}\n")
            sys.stderr.flush()
            return
        if job not in self._tasks:
            self._tasks[job] = self._live.add_task(text, total=1, job=job)
        self._live.update(self._tasks[job], description=text, completed=int(done))
