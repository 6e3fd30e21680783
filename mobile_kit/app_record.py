"""mobile-kit.json: what a bundle wrote, so that the next one neither takes another's folder nor the user's own work."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from mobile_kit.errors import UnsupportedError
from mobile_kit.manifest import sha256_of

__all__ = ["set_aside", "write_record"]

RECORD, SCHEMA_VERSION = "mobile-kit.json", 1
# What a build or an editor leaves in a project.
LEFT = {"build", "xcuserdata", ".build", ".cxx", ".DS_Store", ".gradle", ".idea", ".kotlin", "local.properties"}


def write_record(folder: Path) -> None:
    """Write the hash of each file of a bundle."""
    files = {name: sha256_of(folder / name) for name in sorted(_files(folder))}
    text = json.dumps({"schema_version": SCHEMA_VERSION, "files": files}, indent=1)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8")


def set_aside(out: Path, force: bool) -> Path | None:
    """Return where a bundle that is in the way is to be kept, as there are changes in it; null where there are none.

    Raises: UnsupportedError where something else is in the way, or it isn't to be replaced.
    """
    if out.is_symlink():
        raise UnsupportedError(f"--out {out}: is a link. Name the folder itself.")
    if not out.exists():
        return None
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        written = dict(record["files"]) if record["schema_version"] == SCHEMA_VERSION else None
    except (OSError, ValueError, LookupError, TypeError):
        written = None
    if written is None:
        raise UnsupportedError(f"--out {out}: exists and is no app of the kit. Move it away, or choose another.")
    if not force:
        raise UnsupportedError(f"--out {out}: exists. Give --force to replace it, or choose another.")
    if {name: sha256_of(out / name) for name in _files(out)} == written:
        return None
    taken = (out.with_name(f"{out.name}-before-{number}") for number in range(1, 1000))
    return next(path for path in taken if not path.exists())


def _files(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT]
        inside = Path(place).relative_to(folder)
        yield from ((inside / name).as_posix() for name in names if name not in LEFT and inside / name != Path(RECORD))
