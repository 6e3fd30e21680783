"""mobile-kit.json: what a bundle wrote, so that the next one neither takes another's folder nor the user's own work."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobile_kit.artifacts.manifest import sha256_of
from mobile_kit.errors import UnsupportedError
from mobile_kit.records import RecordError, dumped, read_file

__all__ = ["set_aside", "write_record"]

RECORD = "mobile-kit.json"
# Where the platforms' tools build; whatever else is new in a project may be its user's.
BUILT = {
    *(".gradle", ".kotlin", "build", "app/build", "mobilekit-runtime/build"),
    *("MobileKitRuntime/.build", "MobileKitRuntime/.swiftpm", "MobileKit.xcodeproj/project.xcworkspace"),
}


@dataclass(frozen=True)
class BundleRecord:
    """The hash of each file of a bundle, by path."""

    schema_version: Literal[1]
    files: Mapping[str, str]


def write_record(folder: Path) -> None:
    """Write the hash of each file of a bundle."""
    (folder / RECORD).write_text(dumped(BundleRecord(1, dict(_files(folder)))), encoding="utf-8")


def set_aside(out: Path, force: bool) -> Path | None:
    """Return where a bundle that is in the way is to be kept, as there are changes in it; None where there are none.

    Raises: UnsupportedError where something else is in the way, or it isn't to be replaced.
    """
    if out.is_symlink():
        raise UnsupportedError(f"--out {out}: is a link. Name the folder itself.")
    if not out.exists():
        return None
    try:
        written = read_file(BundleRecord, out / RECORD).files
    except RecordError as exc:
        reason = "exists and is no app of the kit, or of another version of it"
        raise UnsupportedError(f"--out {out}: {reason}. Move it away, or choose another.") from exc
    if not force:
        raise UnsupportedError(f"--out {out}: exists. Give --force to replace it, or choose another.")
    place = out.resolve()
    if dict(_files(place)) == written:
        return None
    taken = (place.with_name(f"{place.name}-before-{number}") for number in range(1, 1000))
    return next(path for path in taken if not path.exists())


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the paths in a project, sorted, with their hashes; what isn't a file has words in place of one."""
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if (inside / name).as_posix() not in BUILT)
        links = [name for name in folders if (folder / inside / name).is_symlink()]
        for name in sorted([*names, *links]):
            if (path := inside / name) != Path(RECORD):
                yield path.as_posix(), _content(folder / path)


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    try:
        return sha256_of(path) if path.is_file() else "no file"
    except OSError:
        return "unreadable"
