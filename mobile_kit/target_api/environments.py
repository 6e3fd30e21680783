"""Python environments of their own, for packages that don't go with the kit's."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from mobile_kit.errors import MissingToolError, last_line

__all__ = ["cache_folder", "environment"]


def cache_folder() -> Path:
    """Return where environments are kept: the user's own cache (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mobile_kit" / "environments"


def environment(cache: Path, name: str, packages: list[str]) -> Path:
    """Return the Python of an environment with these packages, made on first use and kept in a cache folder.

    It is built beside its place and renamed, so an environment that is there is complete, also with several processes.
    Other packages, or another Python, are another environment.
    Raises: MissingToolError where pip can't install the packages, or the folder can't be written.
    """
    key = hashlib.sha256("\n".join([sys.version, sys.base_prefix, *packages]).encode()).hexdigest()[:8]
    place = cache / f"{name}-{key}"
    if place.is_dir():
        return _python(place)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache, ignore_cleanup_errors=True) as draft:
            _build(Path(draft), packages)
            Path(draft).rename(place)
    except OSError as exc:
        # Renaming fails where another process was faster: then its environment is as good.
        if not place.is_dir():
            raise MissingToolError(f"environment {place}: can't be made ({exc.strerror}). Set XDG_CACHE_HOME.") from exc
    return _python(place)


def _build(place: Path, packages: list[str]) -> None:
    # Copies and console scripts hold the draft's path; `bin/python` doesn't, and is all that is used.
    _run([sys.executable, "-m", "venv", place], "an environment: can't be made")
    options = ("--quiet", "--retries", "1", "--only-binary", ":all:")
    command: list[str | Path] = [_python(place), "-m", "pip", "install", *options, *packages]
    _run(command, f"packages {' '.join(packages)}: can't be installed with Python {platform.python_version()} here")


def _run(command: list[str | Path], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = last_line(done.stderr.strip() or done.stdout)
        raise MissingToolError(f"{what} ({reason}). Mend that, or choose another version.")


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
