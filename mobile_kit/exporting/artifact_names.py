"""What the folder of a checkpoint's artifacts is called: readable, and another for another checkpoint or size."""

import re
import unicodedata

from mobile_kit.checkpoints.load import Checkpoint
from mobile_kit.errors import UnsupportedError

__all__ = ["check_name", "folder_name", "slug"]

# Letters and digits of any script; what a shell or a file system reads otherwise is left out.
APART = re.compile(r"[^\w.-]+")
# A file system's 255 bytes hold this and what artifacts and logs add to it.
MOST_BYTES = 120


def folder_name(checkpoint: Checkpoint, asked: str | None) -> str:
    """Return the name that was asked for, else the checkpoint's; its image size behind it where that isn't its own."""
    if asked is not None:
        return asked
    height, width = checkpoint.image_size
    size = f"{height}" if height == width else f"{height}x{width}"
    return slug(checkpoint.source) + (f"-{size}" if checkpoint.resized else "")


def check_name(asked: str | None) -> None:
    """Raise UnsupportedError for a name that is none of a folder."""
    if asked is not None and slug(asked) != asked:
        raise UnsupportedError(f"--name {asked!r}: is no name of a folder. Give one such as {slug(asked)}.")


def slug(source: str) -> str:
    """Return a Hub id (owner/name), a known name or a folder's as the name of a folder."""
    text = APART.sub("-", unicodedata.normalize("NFC", source))
    return text.encode()[:MOST_BYTES].decode(errors="ignore").strip("-.") or "model"
