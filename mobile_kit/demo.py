"""The main job on the shipped checkpoints: export to every target, verify, classify digits that they never saw."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.manifest import read_manifest, untimed
from mobile_kit.artifacts.verification import read_report
from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.errors import LoweringError, unknown
from mobile_kit.evaluation.predictor import Predictor
from mobile_kit.exporting.export import Exported, export
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.models.spec import TensorSpec
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from mobile_kit.quantization.recipes import recipe
from mobile_kit.reporting.report import ReportOptions, report

__all__ = ["DemoOptions", "DemoRow", "demo", "shipped_families", "summary"]

VIEWS_SEED = 1
# Views of the scans that were trained on, for static recipes: 128 to calibrate on, and those that are held out.
CALIBRATION_VIEWS, CALIBRATION_SEED = 159, 2


@dataclass(frozen=True)
class DemoRow:
    """One file: its size, its distance from the checkpoint, and its accuracy on unseen digits.

    parity: the figure that was judged, of the output that lost most, as in verify.json and the report. reason: why the
    status isn't "passed", None where it is. checkpoint_accuracy: Hugging Face's own on the same digits.
    swapped_accuracy: with red and blue swapped, as an app with a colour mistake would have it.
    """

    file: str
    bytes: int
    parity: str
    status: str
    reason: str | None
    accuracy: float
    checkpoint_accuracy: float
    swapped_accuracy: float


@dataclass(frozen=True)
class DemoOptions:
    """What to show. family: None for all whose trained checkpoint is shipped. targets: empty for all.

    views: how many unseen digits each file is measured on. profile: whether to time the files that this machine can
    run, and to write the report.
    """

    out: Path
    family: str | None
    targets: tuple[str, ...]
    recipes: tuple[str, ...]
    views: int
    profile: bool = False


def demo(options: DemoOptions, progress: Progress) -> tuple[list[DemoRow], list[Path]]:
    """Export shipped checkpoints and measure each file on unseen digits.

    Returns: a row a file, and the files of the report, none where it wasn't asked for.
    Raises: UnsupportedError for a family of which none is shipped; LoweringError where a target failed; what the
        others raise.
    """
    shipped = shipped_families()
    if options.family is not None and options.family not in shipped:
        raise unknown("family", options.family, shipped)
    families = shipped if options.family is None else (options.family,)
    rows = [row for family in families for row in _rows(family, options, progress)]
    return rows, _profiled(rows, options, progress) if options.profile else []


def _profiled(rows: Sequence[DemoRow], options: DemoOptions, progress: Progress) -> list[Path]:
    """Time the files family by family, and write the report; return its files."""
    timed = [path for row in rows if untimed(read_manifest(path := Path(row.file).parent)) is None]
    for folder in dict.fromkeys(path.parent for path in timed):
        progress.note(f"{folder.name}: on this machine")
        profile([path for path in timed if path.parent == folder], ProfileOptions(), progress)
    return report(ReportOptions((options.out,)))[1]


def shipped_families() -> tuple[str, ...]:
    """Return the families whose trained checkpoint FAMILY-digits is shipped."""
    names = (folder.name for folder in resources.files("sample_apps.checkpoints").iterdir())
    return tuple(sorted(name.removesuffix("-digits") for name in names if name.endswith("-digits")))


def _rows(family: str, options: DemoOptions, progress: Progress) -> list[DemoRow]:
    progress.note(family)
    shipped = resources.files("sample_apps.checkpoints") / f"{family}-digits"
    with resources.as_file(shipped) as checkpoint, tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "digit.png")
        Image.fromarray(next(_views(1))[0]).save(photo)
        asked = ExportOptions(
            model=str(checkpoint),
            out=options.out,
            targets=options.targets,
            recipes=options.recipes,
            photo=photo,
            # A quantized file is judged on what its network was made for: drawn scenes are no digits.
            calibration=_calibration(Path(folder, "digits")) if _quantized(options.recipes) else None,
        )
        result = export(asked, progress)
        own = _checkpoint_accuracy(checkpoint, options.views)
    for line in result.skipped:
        progress.note(line)
    if result.failures:
        raise LoweringError(" ".join(result.failures))
    rows = []
    for item in result.artifacts:
        progress.stage("accuracy", f"{item.manifest.folder.name}: {options.views} unseen digits")
        rows.append(_row(item, options.views, own))
    progress.stage("accuracy", "done", done=True)
    return rows


def _quantized(recipes: tuple[str, ...]) -> bool:
    return any(recipe(name).quantized for name in recipes)


def _calibration(folder: Path) -> Path:
    """Draw digits that were trained on into a folder with one for each class."""
    from sample_apps.checkpoints.digits import training_views

    for number, (image, label) in enumerate(training_views(CALIBRATION_VIEWS, CALIBRATION_SEED)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number:03}.png")
    return folder


def _checkpoint_accuracy(folder: Path, views: int) -> float:
    """Return which part of the unseen digits Hugging Face's own model gets right."""
    checkpoint = load(str(folder))
    oracle = Oracle(checkpoint, (TensorSpec("logits", ()),))
    right = [int(oracle.run(oracle.pixel_values(image))["logits"].argmax()) == label for image, label in _views(views)]
    return float(np.mean(right))


def _row(item: Exported, views: int, checkpoint_accuracy: float) -> DemoRow:
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
        reason=item.detail or None,
        accuracy=right / views,
        checkpoint_accuracy=checkpoint_accuracy,
        swapped_accuracy=swapped / views,
    )


def _views(count: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    from sample_apps.checkpoints.digits import held_out_views

    return held_out_views(count, VIEWS_SEED)


def _is_right(predictor: Predictor, image: NDArray[np.uint8], label: int) -> bool:
    return int(predictor.outputs(image)["logits"].argmax()) == label


def summary(rows: Sequence[DemoRow]) -> str:
    """Say in a sentence what came out."""
    failed = [row for row in rows if row.status != "passed"]
    if failed:
        return f"{len(failed)} of {len(rows)} files didn't pass: " + "; ".join(
            f"{row.file}: {row.reason}" for row in failed
        )
    lost = max(*(row.checkpoint_accuracy - row.accuracy for row in rows), 0.0)
    swapped = max(row.swapped_accuracy for row in rows)
    return (
        f"{len(rows)} of {len(rows)} files compute what their checkpoints compute. Of the unseen digits they lose "
        f"{lost:.1%} at most, and with red and blue swapped they recognize {swapped:.1%} at most."
    )


def _parity(item: Exported) -> str:
    """Return the figure that was judged."""
    report = read_report(item.manifest)
    assert report is not None, "an export's last act"
    if item.manifest.record.recipe.weight_bits == 32:
        return "" if report.max_error is None else f"{report.max_error:.1e} sigma"
    return "" if report.sqnr_db is None else f"{report.sqnr_db:.1f} dB"
