"""Which processor a program is for."""

import struct
import sys
from pathlib import Path

import pytest

from mobile_kit.profiling.devices.elf import machine_of


@pytest.mark.parametrize(
    ("order", "number", "names"),
    [
        (1, 183, ("arm64-v8a", "aarch64")),
        (1, 40, ("armeabi-v7a", "armv7l", "armv8l")),
        (2, 62, ("x86_64",)),
        (1, 999, ("processor 999",)),
    ],
)
def test_the_header_says_it_in_either_byte_order(
    order: int, number: int, names: tuple[str, ...], tmp_path: Path
) -> None:
    head = b"\x7fELF\x02" + bytes([order]) + bytes(12) + struct.pack("<H" if order == 1 else ">H", number)
    (tmp_path / "program").write_bytes(head)
    assert machine_of(tmp_path / "program") == names


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\nexit 0 # long enough"])
def test_what_is_no_such_program_has_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(content)
    assert machine_of(tmp_path / "program") is None
    assert machine_of(tmp_path / "no") is None


@pytest.mark.skipif(sys.platform != "linux", reason="others have no ELF")
def test_python_itself_has_one() -> None:
    assert machine_of(Path(sys.executable).resolve())
