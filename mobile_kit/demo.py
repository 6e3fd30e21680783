"""The main job on the shipped checkpoints: export to every target, verify, classify digits that they never saw."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.errors import LoweringError
from mobile_kit.export import Exported, ExportOptions, export
from mobile_kit.predict import Predictor
from mobile_kit.progress import Progress

__all__ = ["DemoRow", "demo"]

RECIPES = ("fp32", "fp16")
VIEWS_SEED = 1


@dataclass(frozen=True)
class DemoRow:
    """One file: its size, its distance from the checkpoint, and its accuracy on unseen digits.

    swapped_accuracy: with red and blue swapped, as an app with a colour mistake would have it.
    """

    file: str
    bytes: int
    parity: str
    status: str
    accuracy: float
    swapped_accuracy: float


def demo(
    out: Path, families: tuple[str, ...], targets: tuple[str, ...], views: int, progress: Progress
) -> list[DemoRow]:
    """Export shipped checkpoints to targets (all where none is named) and measure each file on unseen digits.

    families: those whose trained checkpoint FAMILY-digits is shipped.
    Raises: LoweringError where a target failed; what the others raise.
    """
    return [row for family in families for row in _rows(family, out, targets, views, progress)]


def _rows(family: str, out: Path, targets: tuple[str, ...], views: int, progress: Progress) -> list[DemoRow]:
    progress.note(family)
    shipped = resources.files("sample_apps.checkpoints") / f"{family}-digits"
    with resources.as_file(shipped) as checkpoint, tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "digit.png")
        Image.fromarray(next(_views(1))[0]).save(photo)
        options = ExportOptions(str(checkpoint), out, targets, recipes=RECIPES, photo=photo)
        result = export(options, progress)
    for line in result.skipped:
        progress.note(line)
    if result.failures:
        raise LoweringError(" ".join(result.failures))
    rows = []
    for item in result.artifacts:
        progress.stage("accuracy", f"{item.manifest.folder.name}: {views} unseen digits")
        rows.append(_row(item, views))
    progress.stage("accuracy", "done", done=True)
    return rows


def _row(item: Exported, views: int) -> DemoRow:
    predictor = Predictor(item.manifest.folder)
    right = swapped = 0
    for image, label in _views(views):
        right += _is_right(predictor, image, label)
        swapped += _is_right(predictor, np.ascontiguousarray(image[:, :, ::-1]), label)
    return DemoRow(
        file=str(item.manifest.model_path),
        bytes=item.bytes,
        parity=_parity(item),
        status=item.status,
        accuracy=right / views,
        swapped_accuracy=swapped / views,
    )


def _views(count: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    from sample_apps.checkpoints.digits import held_out_views

    return held_out_views(count, VIEWS_SEED)


def _is_right(predictor: Predictor, image: NDArray[np.uint8], label: int) -> bool:
    return int(predictor.outputs(image)["logits"].argmax()) == label


def _parity(item: Exported) -> str:
    """Return the logits' distance from the checkpoint's, as verify.json has it."""
    report: dict[str, Any] = json.loads((item.manifest.folder / "verify.json").read_text(encoding="utf-8"))
    logits = next(out for out in report["outputs"] if out["name"] == "logits")
    if item.manifest.data["recipe"]["weight_bits"] == 32:
        return f"{logits['max_error']:.1e} sigma"
    return f"{logits['sqnr_db']:.1f} dB"
