"""What is asked of the next search where a file keeps less than the search promised."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.artifacts.verification import Bound, Check, OutputParity, VerifyReport
from mobile_kit.errors import UnsupportedError
from mobile_kit.exporting.export import export
from mobile_kit.exporting.mixed_precision import stricter, wanted_of
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.models.spec import ModelSpec, TensorSpec
from mobile_kit.quantization.recipes import QualityTarget
from sample_apps.checkpoints.digits import training_views
from tests.exports import DIGITS

LOGITS = OutputParity("logits", 0.1, 24.0, None, 1.0, 0.95, 1.0, None, None, None, (Bound("sqnr_db", 25.0),), False)


def report(*outputs: OutputParity, check: str = "passed") -> VerifyReport:
    return VerifyReport("artifact", "runtime", 32, (Check("sight", check, ""),), outputs)  # type: ignore[arg-type]


def test_a_file_that_keeps_enough_needs_no_other() -> None:
    assert stricter(QualityTarget(25.0), QualityTarget(25.0), report(replace(LOGITS, passed=True))) is None


def test_what_another_search_can_t_mend_needs_none() -> None:
    assert stricter(QualityTarget(25.0), QualityTarget(25.0), report(LOGITS, check="failed")) is None


def test_more_is_asked_by_what_the_file_lacks() -> None:
    assert stricter(QualityTarget(25.0), QualityTarget(25.0), report(LOGITS)) == QualityTarget(26.25)
    # The second time by what it still lacks of what is wanted, not of what was asked.
    again = stricter(QualityTarget(25.0), QualityTarget(26.25), report(replace(LOGITS, sqnr_db=24.9)))
    assert again is not None
    assert again.sqnr_db == pytest.approx(26.6)


def test_decisions_are_asked_for_likewise() -> None:
    wanted = QualityTarget(None, 0.97)
    assert stricter(wanted, wanted, report(LOGITS)) == QualityTarget(None, pytest.approx(0.99))
    assert stricter(wanted, QualityTarget(None, 0.999), report(LOGITS)) == QualityTarget(None, 1.0)
    # All of them were asked for already.
    assert stricter(wanted, QualityTarget(None, 1.0), report(LOGITS)) is None


def test_class_maps_are_asked_for_their_pixels() -> None:
    logits, mask = TensorSpec("logits", (1, 5, 8, 8), meaning="logits"), TensorSpec("mask", (1, 64, 64), meaning="mask")
    spec = ModelSpec("mobilevitv2", "segmentation", (64, 64), 3, 5, 1, (), (logits, mask))
    assert wanted_of(spec, QualityTarget(25.0)) == QualityTarget(25.0)
    alone = replace(spec, outputs=(mask,))
    assert wanted_of(alone, QualityTarget(25.0)) == QualityTarget(None, 0.98)
    assert wanted_of(alone, QualityTarget(None, 0.9)) == QualityTarget(None, 0.9)


@pytest.mark.usefixtures("paper_targets")
@pytest.mark.parametrize(
    ("head", "outputs", "asked", "reason"),
    [
        ("segmentation", ("mask",), {"min_sqnr": 20.0}, "--min-sqnr 20.0: class maps have no decibels"),
        ("base", (), {"min_agreement": 0.9}, "--min-agreement 0.9: head 'base' decides between no classes"),
    ],
)
def test_what_outputs_don_t_have_can_t_be_asked_of_them(
    head: str, outputs: tuple[str, ...], asked: dict[str, float], reason: str, small_folders: dict[str, Path], out: Path
) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        export(ExportOptions(str(small_folders[head]), out, ("paper",), outputs=outputs, **asked))  # type: ignore[arg-type]
    assert not list(out.rglob("manifest.json"))


@pytest.mark.usefixtures("paper_targets", "one_process")
def test_a_file_that_keeps_less_than_was_promised_is_made_again(tmp_path: Path) -> None:
    for number, (image, _) in enumerate(training_views(8, 5)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    asked = ExportOptions(
        str(DIGITS), tmp_path / "out", ("promising",), ("fp32", "int8"), calibration=tmp_path, min_sqnr=25.0
    )
    exported, mixed = export(asked).artifacts
    assert (exported.status, mixed.status) == ("passed", "passed")
    (left,) = mixed.manifest.record.recipe.float_ops
    assert left.part == "activations"
    # What the search saw of the activations, against what is left without them.
    assert left.cost_db == pytest.approx(60 - 26, abs=0.5)
    # All in int8 was promised to do: only a file that doesn't has a second search look further.
    (stored,) = (tmp_path / "out/sensitivity/mobilevitv2-digits-promising").iterdir()
    kept = json.loads(stored.read_text())["kept"]
    assert kept["everything"]["sqnr_db"] == pytest.approx(26, abs=0.1)
    assert kept["without activations"]["sqnr_db"] == pytest.approx(60, abs=0.1)
