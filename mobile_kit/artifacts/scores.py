"""evaluation.json: what an artifact scores on labelled images, beside its checkpoint."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.artifacts.layout import SCORES
from mobile_kit.errors import ArtifactError, one_line, unwritable
from mobile_kit.records import Amount, RecordError, dumped, read_file
from mobile_kit.whole_file import write_whole

__all__ = ["Score", "figure_text", "points_text", "read_scores", "write_scores"]


# Metrics that are no parts of a whole.
NO_PARTS = frozenset({"correlation", "mean_absolute_error"})


@dataclass(frozen=True)
class Score:
    """One figure of one artifact beside the checkpoint's.

    metric: top1, top5, mean_iou, mean_average_precision or f1, each 0 to 1; correlation, -1 to 1; or
    mean_absolute_error, in the values' own unit. difference: the artifact's less the checkpoint's. interval: where that
    lies with 95 % confidence, image by image compared.
    """

    artifact: str
    images: Amount
    metric: str
    value: float
    checkpoint: float
    difference: float
    interval: tuple[float, float]


def figure_text(metric: str, figure: float, sign: str = "") -> str:
    """Return a figure as people read it: parts of a whole in percent. sign: "+" for a difference."""
    return format(figure, f"{sign}.4g" if metric in NO_PARTS else f"{sign}.2%")


def points_text(metric: str, difference: float, points: str = "") -> str:
    """Return a difference in percentage points, of what is no part of a whole in its own unit. points: their name."""
    return f"{difference:+.4g}" if metric in NO_PARTS else f"{100 * difference:+.2f}{points}"


def write_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Write an artifact's scores. Raises: ArtifactError where they can't be written."""
    try:
        write_whole(folder / SCORES, dumped(scores))
    except OSError as exc:
        raise unwritable(folder / SCORES, exc) from exc


def read_scores(folder: Path) -> list[Score]:
    """Return an artifact's scores, none where it wasn't evaluated. Raises: ArtifactError naming the place."""
    path = folder / SCORES
    if not os.path.lexists(path):
        return []
    try:
        return read_file(list[Score], path)
    except RecordError as exc:
        raise ArtifactError(f"artifact {folder}: {SCORES} {one_line(exc)}. Evaluate it again.") from exc
