"""Files of others are read within bounds, and refused in words."""

import json
import os
import time
import zipfile
from pathlib import Path

import pytest

from mobile_kit.reading import (
    MOST_JSON_BYTES,
    ReadError,
    check_archive,
    parse_json,
    read_bytes,
    read_json_lines,
    read_json_object,
    read_text,
)


def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    began = time.monotonic()
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "zero", tmp_path / "nowhere", Path("x" * 5000), Path("\0")):
        with pytest.raises(ReadError, match=r"can't be read \("):
            read_bytes(place, 100)
    assert time.monotonic() - began < 5


def test_a_file_of_more_than_is_read_is_refused_before_it_is(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(40 << 30)
    with pytest.raises(ReadError, match=r"has 42,949,672,960 bytes, and 67,108,864 are the most"):
        read_bytes(path, MOST_JSON_BYTES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "isn't JSON (line 1, column 1"),
        (b'{"a": 1,\n}', "isn't JSON (line 2, column 1"),
        (b"\xff", "isn't UTF-8 (byte 0)"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 300 + b"]" * 300, "nested too deeply"),
        (b"9" * 5000, "a number is too long"),
        (b'{"a": "cat \\ud800"}', "isn't text (half a character behind 'cat ')"),
        (b'{"\\udfff": 1}', "isn't text (half a character"),
    ],
)
def test_what_is_no_json_is_refused_in_a_line(text: bytes, said: str) -> None:
    with pytest.raises(ReadError) as caught:
        parse_json(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_mark_in_front_is_none_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": ["é"]}).encode())
    assert read_json_object(tmp_path / "a.json") == {"a": ["é"]}
    assert read_text(tmp_path / "a.json")[0] == "{"
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ReadError, match="isn't a JSON object"):
        read_json_object(tmp_path / "a.json")


def test_lines_are_read_up_to_one_that_was_torn(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n[2]\n{"b"')
    assert read_json_lines(tmp_path / "a.jsonl") == [{"a": 1}, [2]]


def test_an_archive_that_would_be_too_large_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(10_000_000))
    check_archive(tmp_path / "bomb.npz", 10_000_000)
    with pytest.raises(ReadError, match=r"has 10,000,000 bytes, unpacked, and 9,999,999 are the most"):
        check_archive(tmp_path / "bomb.npz", 9_999_999)
