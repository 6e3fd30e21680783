"""Python environments of their own, for clients whose packages don't go with the kit's."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


class EnvironmentUnavailable(Exception):  # noqa: N818  a reason to skip, not a fault
    """The packages can't be had here."""


def environment(cache_dir: Path, name: str, packages: list[str]) -> Path:
    """Return the Python of an environment with these packages, made on first use and kept in `cache_dir`.

    It is built beside its place and renamed, so an environment that is there is complete, also with several test
    processes. Other packages, or another Python, are another environment.

    Raises: EnvironmentUnavailable where pip can't install the packages.
    """
    key = hashlib.sha256("\n".join([sys.version, sys.base_prefix, *packages]).encode()).hexdigest()[:8]
    place = cache_dir / f"{name}-{key}"
    if not place.is_dir():
        cache_dir.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_dir))
        try:
            _build(draft, packages)
            draft.rename(place)
        except OSError:
            # Renaming fails where another process was faster: then its environment is as good.
            if not place.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return _python(place)


def _build(place: Path, packages: list[str]) -> None:
    # Copies and console scripts hold the draft's path; `bin/python` doesn't, and is all that is used.
    subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True, text=True)
    command: list[str | Path] = [
        _python(place),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--retries",
        "1",
        "--only-binary",
        ":all:",
        *packages,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "pip said nothing").splitlines()[-1]
        raise EnvironmentUnavailable(f"pip install {' '.join(packages)}: {reason}")


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
