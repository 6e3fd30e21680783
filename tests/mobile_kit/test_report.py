"""From profiles and evaluations to a report, on files that need no toolchain."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.judge import judged, model_info
from mobile_kit.latency import latency
from mobile_kit.manifest import read_manifest
from mobile_kit.profiling import profile_name
from mobile_kit.report import report
from mobile_kit.results import Config, DeviceInfo, Result, RunInfo, write_results
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.conftest import Answer
from tests.exports import DIGITS

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
SLUG = "mobilevitv2-digits"
PROFILE = profile_name("host")


@pytest.fixture
def artifact(paper_artifact: Path) -> Path:
    return paper_artifact


def profiled(artifact: Path, ms: float, run: str = "one", runs: int = 50, undisturbed: bool = True) -> Result:
    """An artifact with a result of this machine."""
    result = Result(
        run=RunInfo(run, "runner", "mobile-kit"),
        model=model_info(read_manifest(artifact)),
        device=DeviceInfo("host", "host", emulated=False),
        config=Config(runs=50, min_s=0.1),
        latency=latency([[1e3 * ms] * 5] * (runs // 5)),
    )
    result = judged(result, undisturbed=undisturbed)
    write_results([result], artifact / PROFILE)
    return result


def quantized(artifact: Path, name: str = "static_wi8_ai8") -> Path:
    """A copy of an artifact that calls itself a smaller recipe's."""
    copy = artifact.with_name(f"paper-{name}")
    copy.mkdir()
    for path in (path for path in artifact.rglob("*") if path.is_file()):
        place = copy / path.relative_to(artifact)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["recipe"] |= {"name": name, "weight_bits": 8}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_latencies_of_one_run_are_compared(artifact: Path) -> None:
    other = quantized(artifact)
    profiled(artifact, 12.0)
    profiled(other, 4.0)
    rows, _ = report(artifact.parents[1])
    assert [(row.median_ms, row.latency_ratio) for row in rows] == [(12.0, 1), (4.0, pytest.approx(1 / 3))]
    # Another run's figures can't be compared.
    profiled(other, 4.0, run="two")
    rows, _ = report(artifact.parents[1])
    assert [(row.median_ms, row.latency_ratio) for row in rows] == [(12.0, 1), (4.0, None)]


def test_a_latency_that_is_not_valid_is_said_to_be(artifact: Path) -> None:
    profiled(artifact, 12.0, undisturbed=False)
    report(artifact.parents[1])
    assert "- paper, fp32: not valid, other processes" in (artifact.parents[1] / "report.md").read_text()


def test_a_report_has_what_was_measured_and_leaves_out_what_was_not(
    artifact: Path, tmp_path: Path, command: Command
) -> None:
    quantized(artifact)
    views = tmp_path / "views"
    for number, (image, label) in enumerate(held_out_views(4, 1)):
        place = views / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    assert command("evaluate", artifact, "--images", views, "--checkpoint", DIGITS).code == 0
    answer = command("report", tmp_path / "out")
    assert answer.code == 0, answer.err
    header, *rows = answer.out.splitlines()
    assert header.split()[:4] == ["model", "target", "recipe", "verified"]
    assert rows[0].split()[:4] == [SLUG, "paper", "fp32", "passed"]
    assert rows[-3:] == [str(tmp_path / "out" / name) for name in ("report.json", "report.md", f"report-{SLUG}.png")]
    first, second = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (first["size_ratio"], first["metric"], first["difference"]) == (1, "top1", 0)
    assert (second["recipe"], second["value"], second["median_ms"]) == ("static_wi8_ai8", None, None)
    with Image.open(tmp_path / "out" / f"report-{SLUG}.png") as plot:
        assert min(plot.size) > 300
    table = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert table[0] == f"### {SLUG}"
    assert table[4].startswith("| paper | fp32 | passed | ")
    assert "| +0.00 (" in table[4]


def test_a_model_whose_files_all_failed_has_no_plot(artifact: Path, command: Command) -> None:
    verified = json.loads((artifact / "verify.json").read_text())
    (artifact / "verify.json").write_text(json.dumps({**verified, "status": "failed"}))
    answer = command("report", artifact.parents[1])
    assert answer.code == 0, answer.err
    assert {path.name for path in artifact.parents[1].glob("report*")} == {"report.json", "report.md"}


def test_a_package_s_own_manifest_is_none_of_ours(artifact: Path) -> None:
    inner = artifact / "model.mlpackage" / "manifest.json"
    inner.parent.mkdir()
    inner.write_text("{}")
    assert len(report(artifact.parents[1])[0]) == 1


def test_a_folder_without_artifacts_is_refused(tmp_path: Path, command: Command) -> None:
    answer = command("report", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"mobile-kit: folder {tmp_path}: holds no artifact. Give one that an export wrote to.\n"


@pytest.mark.parametrize("name", ["verify.json", PROFILE, "evaluation.json"])
def test_a_torn_result_is_named(name: str, artifact: Path, command: Command) -> None:
    (artifact / name).write_text("{")
    answer = command("report", artifact.parents[1])
    assert answer.code == 1
    kind = "results" if name == PROFILE else "file"
    assert answer.err.startswith(f"mobile-kit: {kind} {artifact / name}: can't be read (")
    assert answer.err.count("\n") == 1
