"""Real files on a real arm64 userland: what they compute there, and what the report says of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.measurements.result import Result
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from mobile_kit.reporting.report import ReportOptions, report
from sample_apps.checkpoints.digits import training_views
from tests.device_lab.conftest import Lab, Place
from tests.device_lab.userland import LITERT, OLD
from tests.exports import CHECKPOINTS, Export, export

# An emulated processor takes its time, and none of it means anything.
QUICK = ProfileOptions(runs=4, blocks=2, min_s=0.0, warmup_s=0.0, loads=1, traced=2)
FAMILIES = ("cvt", "hiera", "mobilevitv2", "vit_msn")


def profiled(place: Place, artifacts: list[Path]) -> list[Result]:
    """Profile on a device of the lab; what is computed there must be right, and nothing be left there."""
    found = profile(artifacts, replace(QUICK, device=place.name), Progress(quiet=True))
    for result in found:
        assert result.validity.completed, result.validity.reasons
        assert result.validity.parity_held is True
        assert result.device.emulated is True
        assert result.latency.count == 4
    assert not place.left()
    return found


def reasons(results: list[Result]) -> list[tuple[str, ...]]:
    """Return why each result isn't valid."""
    return [result.validity.reasons for result in results]


def test_a_board_and_a_phone_stand_in_one_report_marked_as_emulated(lab: Lab, digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "digits" / "tflite-fp32"))
    for device in (lab.board, lab.phone):
        with device() as place:
            (result,) = profiled(place, [artifact])
            assert result.validity.valid, result.validity.reasons
            assert result.config.delegate == "LiteRT 2.3.0"
            assert result.placement.partitions == 1
            assert {op.module for op in result.ops} >= {"2.transformer.0.attention.key", "conv_stem.convolution"}
            # The bound of verification, on another processor.
            assert all(out.max_error is not None and out.max_error < 1e-4 for out in result.parity)
    _, files = report(ReportOptions((tmp_path,)))
    record = json.loads((tmp_path / "report.json").read_text())
    assert {each["result"]["device"]["kind"] for each in record["results"]} == {"ssh", "adb"}
    page = next(path for path in files if path.suffix == ".html").read_text()
    assert "emulated" in page
    assert "&lt;b&gt;Phone&lt;/b&gt; of the lab" in page
    assert "<b>Phone" not in page


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_right_on_arm64_in_float_and_int8(family: str, lab: Lab, tmp_path: Path) -> None:
    done = export(CHECKPOINTS / f"{family}-digits", tmp_path / "out", *_asked(tmp_path))
    artifacts = [done[name] for name in sorted(done.records)]
    assert len(artifacts) == 2
    for device in (lab.board, lab.phone):
        with device() as place:
            assert reasons(profiled(place, artifacts)) == [()] * len(artifacts)


@pytest.mark.slow
def test_the_old_runtime_of_a_board_is_right_too(lab: Lab, tmp_path: Path) -> None:
    done = export(CHECKPOINTS / "mobilevitv2-digits", tmp_path / "out", *_asked(tmp_path))
    with lab.board(OLD) as place:
        old = profiled(place, [done[name] for name in ("tflite-fp32", "tflite-static_wi8_ai8")])
    assert {result.config.delegate for result in old} == {"tflite-runtime 2.14.0"}
    # Its delegate takes less of the graph: what it computes is right, and the result says how it is computed.
    assert reasons(old) == [("the delegate has the graph in 73 pieces",)] * 2
    with lab.board(LITERT) as place:
        assert reasons(profiled(place, [done["tflite-fp32"]])) == [()]


def _asked(folder: Path) -> tuple[str, ...]:
    images = folder / "images"
    images.mkdir()
    for number, (image, _) in enumerate(training_views(64, 5)):
        Image.fromarray(image).save(images / f"{number:02}.png")
    return "--target", "tflite", "--recipe", "fp32,static_wi8_ai8", "--calibration", str(images)
