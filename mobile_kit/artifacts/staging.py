"""Where artifacts are put together, and how they come to their places: whole, or not at all."""

import contextlib
import errno
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobile_kit.artifacts.layout import LOGS, MANIFEST
from mobile_kit.errors import MobileKitError, UnsupportedError

__all__ = ["check_places", "failed_path", "move_to_place", "staging_folder"]


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside the artifacts' places, removed at the end whatever happens."""
    made = [path for path in (out, *out.parents) if not path.exists()]
    began = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out, ignore_cleanup_errors=True) as staging:
            began = True
            yield Path(staging)
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise MobileKitError(
                f"output folder {out}: the disk is full. Free some space, or choose another --out."
            ) from exc
        if not began or exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise MobileKitError(
                f"output folder {out}: can't be written ({exc.strerror}). Choose another --out."
            ) from exc
        raise
    finally:
        for path in (out / LOGS, *made):
            with contextlib.suppress(OSError):
                path.rmdir()  # what stayed empty


def check_places(places: Iterable[Path]) -> None:
    """Raise UnsupportedError where something else than an artifact would be replaced."""
    for place in (path for asked in places for path in (asked, failed_path(asked))):
        if place.exists() and not (place / MANIFEST).is_file():
            raise UnsupportedError(
                f"output folder {place}: exists and is no artifact. Move it away, or choose another --out."
            )


def failed_path(place: Path) -> Path:
    """Return where an artifact goes that fails its verification."""
    return place.with_name(f"{place.name}-failed")


def move_to_place(artifact: Path, place: Path, staging: Path) -> None:
    """Move a finished artifact to its place, an older one out of the way first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    old = staging / f"old-{artifact.name}"
    if place.exists():
        place.rename(old)
    try:
        artifact.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
