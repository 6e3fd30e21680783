"""Files and folders that are there whole, or not at all, and what interrupted processes left half-made.

Who makes something holds a lock on it; what nobody holds any more is swept by whoever writes beside it next.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PARTIAL", "exchange", "partial_folder", "sweep", "write_whole"]

PARTIAL = ".partial-"
# Younger than this, its maker may be about to lock it.
YOUNG_S = 1.0
# renameat2(2): a path is taken from the working folder, and both are exchanged. renamex_np(2) of macOS: RENAME_SWAP.
AT_FDCWD, RENAME_EXCHANGE, RENAME_SWAP = -100, 2, 2


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and move it there, so that what stood there before is lost to no interruption.

    A link in its place is replaced, never followed. content: a text is written as UTF-8.
    Raises: OSError, with nothing left beside the place.
    """
    sweep(path.parent)
    beside = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as stream:
            _hold(stream.fileno())
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


@contextlib.contextmanager
def partial_folder(place: Path) -> Iterator[Path]:
    """Give a new folder in another, removed at the end whatever happens."""
    sweep(place)
    folder = tempfile.mkdtemp(prefix=PARTIAL, dir=place)
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _hold(number)
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(number)


def sweep(folder: Path) -> None:
    """Remove what interrupted processes left in a folder."""
    for path in folder.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_ctime < YOUNG_S:
                continue
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not _hold(number):
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            finally:
                os.close(number)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths at once; return False where the system can't. Raises: OSError."""
    system = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if hasattr(system, "renameat2"):
        failed = system.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE)
    elif hasattr(system, "renamex_np"):
        failed = system.renamex_np(*paths, RENAME_SWAP)
    else:
        return False
    code = ctypes.get_errno()
    if failed and code not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
        raise OSError(code, os.strerror(code), str(one), None, str(other))
    return not failed


def _hold(number: int) -> bool:
    """Lock an open file or folder until it is closed; return whether nobody else holds it, as far as can be told."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
