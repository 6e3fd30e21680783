"""A file that was there stays as it was until the new one is whole."""

from pathlib import Path

import pytest

from mobile_kit.whole_file import write_whole


def test_a_text_and_bytes_are_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "text", "größer\n")
    write_whole(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == "größer\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert {path.name for path in tmp_path.iterdir()} == {"text", "bytes"}


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    place = tmp_path / "verify.json"
    place.write_text("old")

    def torn(path: Path, content: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(content[:2])
        raise stop

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(type(stop)):
        write_whole(place, "the new one")
    assert place.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["verify.json"]
