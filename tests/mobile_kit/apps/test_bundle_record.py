"""What a bundle wrote is known again, and what its user changed isn't taken away."""

from pathlib import Path

import pytest

from mobile_kit.apps.bundle_record import set_aside, write_record
from mobile_kit.errors import UnsupportedError


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "app" / "src").mkdir(parents=True)
    (folder / "app" / "src" / "Main.kt").write_text("fun main() {}")
    write_record(folder)
    return folder


def test_an_unchanged_one_is_replaced(app: Path, tmp_path: Path) -> None:
    (app / "build").mkdir()
    (app / "build" / "classes.dex").write_bytes(b"made by the platform's tools")
    assert set_aside(app, force=True) is None
    assert set_aside(tmp_path / "no", force=False) is None
    with pytest.raises(UnsupportedError, match=r"exists\. Give --force to replace it"):
        set_aside(app, force=False)


@pytest.mark.parametrize("change", ["write", "add", "take", "link"])
def test_one_with_changes_is_set_aside(change: str, app: Path) -> None:
    file = app / "app" / "src" / "Main.kt"
    if change == "write":
        file.write_text("fun main() { println() }")
    elif change == "add":
        (app / "Notes.md").write_text("mine")
    elif change == "take":
        file.unlink()
    else:
        (app / "link").symlink_to(file)
    assert set_aside(app, force=True) == app.with_name("app-before-1")
    app.with_name("app-before-1").mkdir()
    assert set_aside(app, force=True) == app.with_name("app-before-2")


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema_version": 2, "files": {}}', "[" * 10_000])
def test_another_s_folder_is_never_taken(content: str | None, app: Path) -> None:
    (app / "mobile-kit.json").unlink()
    if content is not None:
        (app / "mobile-kit.json").write_text(content)
    with pytest.raises(UnsupportedError, match="exists and is no app of the kit, or of another version of it"):
        set_aside(app, force=True)
