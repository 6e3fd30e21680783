"""What tests of commands look at: what was said, and which files there are."""

import re
from pathlib import Path

from tests.conftest import Answer

PROGRESS = re.compile(r"\[ *\d+ s\] [\w-]+: \S.*")


def content(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def words(answer: Answer) -> list[str]:
    """What a command said on standard error beside its progress."""
    return [line for line in answer.err.splitlines() if not PROGRESS.fullmatch(line)]


def assert_refused(answer: Answer, *expected: str) -> None:
    """One line that names what was asked and the way out."""
    assert (answer.code, answer.out) == (1, "")
    (line,) = words(answer)
    assert line.startswith("mobile-kit: ")
    assert line.endswith((".", "'"))  # a command to copy ends with its own quote
    for text in expected:
        assert text in line
