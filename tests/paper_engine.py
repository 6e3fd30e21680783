"""Runs the files of paper_target.py for the kit's runner."""

from pathlib import Path

import numpy as np
import torch


def name() -> str:
    return "paper 1.0"


class Model:
    def __init__(self, path: str, threads: int | None) -> None:
        self._model = torch.load(Path(path), weights_only=False)
        self._values: list[torch.Tensor] = []
        self._results: tuple[torch.Tensor, ...] = ()

    def partitions(self) -> int | None:
        return 1

    def enter(self, inputs: dict[str, bytes]) -> None:
        self._values = [
            torch.from_numpy(np.frombuffer(inputs[spec.name], spec.dtype).reshape(spec.shape).copy())
            for spec in self._model.spec.inputs
        ]

    @torch.no_grad()
    def run(self) -> None:
        self._results = self._model(*self._values)

    def outputs(self) -> dict[str, bytes]:
        specs = self._model.spec.outputs
        return {spec.name: value.numpy().tobytes() for spec, value in zip(specs, self._results, strict=True)}
