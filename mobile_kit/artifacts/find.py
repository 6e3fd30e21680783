"""Which artifact is meant: its folder, its model's file, or the folder above where that holds one artifact alone."""

from pathlib import Path

from mobile_kit.artifacts.layout import MANIFEST
from mobile_kit.errors import ArtifactError

__all__ = ["find_artifact"]

MOST_NAMED = 8


def find_artifact(path: Path) -> Path:
    """Return the folder of the artifact that a path leads to; a path that leads to none, as it is.

    Raises: ArtifactError where several are below it.
    """
    if (path / MANIFEST).is_file():
        return path
    # The file, or what is called so and is a folder, such as an .mlpackage.
    if path.exists() and (path.parent / MANIFEST).is_file():
        return path.parent
    found = sorted(folder.parent for folder in path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
    if len(found) > 1:
        rest = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        names = ", ".join(folder.name for folder in found[:MOST_NAMED])
        raise ArtifactError(f"artifact {path}: holds {len(found)} of them: {names}{rest}. Name one.")
    return found[0] if found else path
