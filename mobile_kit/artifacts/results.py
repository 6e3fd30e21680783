"""What was measured of an artifact, and what else its user put into it, when another takes its place."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mobile_kit.artifacts.layout import EARLIER, EXPORT, MANIFEST, VERIFY
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.reading import ReadError, read_json_object
from mobile_kit.whole_file import PARTIAL

__all__ = ["keep_results"]

# What the export itself writes, and lists nowhere.
ANEW = frozenset({MANIFEST, EXPORT, VERIFY})


def keep_results(old: Path, new: Manifest, staging: Path) -> Path | None:
    """Copy what an artifact holds beside what its export wrote into the one that takes its place.

    Where the model file is another, they are results of neither that nor any other in place: they go to
    earlier/MODEL/ARTIFACT/NUMBER beside the model's folder. Links are copied as links.
    Returns: that folder; None where all is in the new artifact, or nothing had been added.
    """
    listed = _listed(old)
    added = [name for name in _files(old) if name not in listed and name not in ANEW]
    if not added:
        return None
    if all(listed.get(name) == record.sha256 for name, record in new.model_files.items()):
        _copy(old, added, new.folder)
        return None
    aside = staging / f"earlier-{old.name}"
    _copy(old, added, aside)
    place = _free(old.parents[1] / EARLIER / old.parent.name / old.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    return aside.rename(place)


def _listed(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that an export wrote, by path, of an artifact of whatever version."""
    try:
        files = read_json_object(folder / MANIFEST).get("files")
    except ReadError:
        return {}
    known = files.items() if isinstance(files, dict) else ()
    return {name: str(listed.get("sha256")) for name, listed in known if isinstance(listed, dict)}


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths in a folder of all that is no folder itself."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            if not name.startswith(PARTIAL):
                yield Path(place, name).relative_to(folder).as_posix()


def _copy(source: Path, names: list[str], target: Path) -> None:
    for name in names:
        place = target / name
        # What the new export wrote there is its own.
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, place, follow_symlinks=False)


def _free(place: Path) -> Path:
    numbers = (place / str(number) for number in range(1, 1_000_000))
    return next(path for path in numbers if not os.path.lexists(path))
