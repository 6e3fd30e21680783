"""Files that are there whole, or not at all."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and move it there, so that what stood there before is lost to no interruption.

    content: a text is written as UTF-8. Raises: OSError, with nothing left beside the place.
    """
    beside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
