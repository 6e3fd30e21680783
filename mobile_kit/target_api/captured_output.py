"""Keep what a library says from the screen."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr

__all__ = ["captured_stderr"]


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Keep what a library writes to standard error from the screen; yields a function that returns it so far.

    Native code writes to the descriptor, or through Python's own stream.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+", buffering=1, errors="replace") as stream, redirect_stderr(stream):
        os.dup2(stream.fileno(), 2)
        try:
            yield lambda: os.pread(stream.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
