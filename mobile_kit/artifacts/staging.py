"""Where artifacts are put together, and how they come to their places: whole, or not at all."""

import contextlib
import errno
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobile_kit.artifacts.layout import LOGS, MANIFEST
from mobile_kit.errors import MobileKitError, UnsupportedError
from mobile_kit.whole_file import exchange, partial_folder, sweep

__all__ = ["check_places", "failed_path", "move_to_place", "staging_folder"]

# What stood at NAME while another takes its place, where the system can't exchange two folders at once.
REPLACED = ".replaced-"


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside the artifacts' places, removed at the end whatever happens.

    What an earlier one left when its process was killed is swept, and what it had moved away is put back.
    """
    made = [path for path in (out, *out.parents) if not path.exists()]
    began = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        _tidy(out)
        with partial_folder(out) as staging:
            began = True
            yield staging
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


def _tidy(out: Path) -> None:
    """Sweep a folder of artifacts, those of its models and the artifacts themselves."""
    for folder in (out, *out.glob("*/"), *out.glob("*/*/")):
        if folder.is_symlink():
            continue
        for old in folder.glob(f"{REPLACED}*"):
            place = old.with_name(old.name.removeprefix(REPLACED))
            if place.exists():  # the newer one came to its place
                shutil.rmtree(old, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    old.rename(place)
        sweep(folder)


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


def move_to_place(new: Path, place: Path, staging: Path, kept: Path | None = None) -> None:
    """Move a finished folder to its place, in exchange for what stands there where the system can do that.

    kept: where the older one is to be kept; else it goes with the staging folder.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        new.rename(place)
        return
    # What is kept is where it is kept from the moment on at which it is replaced.
    here = new if kept is None else new.rename(kept)
    if not exchange(here, place):
        aside = kept or place.with_name(f"{REPLACED}{place.name}")
        _replace(here.rename(staging / f"new-{place.name}"), place, aside)
        if kept is None:
            aside.rename(staging / f"old-{place.name}")


def _replace(new: Path, place: Path, aside: Path) -> None:
    """Move a folder to its place in two steps, between which an interruption leaves the older one aside."""
    place.rename(aside)
    try:
        new.rename(place)
    except BaseException:
        aside.rename(place)
        raise
