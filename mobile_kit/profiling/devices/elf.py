"""Which processor a program is for, by the header of its file."""

import struct
from pathlib import Path

__all__ = ["machine_of"]

# e_machine of the ELF header (man 5 elf), with what Linux and Android call the processor.
MACHINES = {
    3: ("x86", "i386", "i686"),
    40: ("armeabi-v7a", "armv7l", "armv8l"),
    62: ("x86_64",),
    183: ("arm64-v8a", "aarch64"),
    243: ("riscv64",),
}
MAGIC, MACHINE = b"\x7fELF", 18


def machine_of(path: Path) -> tuple[str, ...] | None:
    """Return the names of the processor, an unknown one's number; None for a file that is no such program."""
    try:
        with path.open("rb") as stream:
            head = stream.read(MACHINE + 2)
    except OSError:
        return None
    if len(head) < MACHINE + 2 or head[:4] != MAGIC:
        return None
    (number,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, MACHINE)
    return MACHINES.get(number, (f"processor {number}",))
