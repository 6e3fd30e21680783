"""Computes nothing, for tests of the way to a device and back: no runtime has to start there."""

from __future__ import annotations


def name() -> str:
    return "idle 1.0"


class Model:
    def __init__(self, path: str, threads: int | None) -> None:
        with open(path, "rb") as stream:
            self._size = len(stream.read())

    def partitions(self) -> int | None:
        return 1

    def enter(self, inputs: dict[str, bytes]) -> None:
        self._inputs = inputs

    def run(self) -> None:
        """Take as long as a small model."""
        sum(range(2000))

    def outputs(self) -> dict[str, bytes]:
        return {}
