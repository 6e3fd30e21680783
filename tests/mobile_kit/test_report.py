"""From profiles and evaluations to a report, on files that need no toolchain."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mobile_kit.export import export
from mobile_kit.prepare import ExportOptions
from mobile_kit.profiling import PROFILE, profile
from mobile_kit.progress import Progress
from mobile_kit.report import report
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.conftest import Answer
from tests.exports import DIGITS

Command = Callable[..., Answer]
pytestmark = pytest.mark.usefixtures("paper_targets")
SLUG = "mobilevitv2-digits"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (done,) = export(ExportOptions(str(DIGITS), tmp_path / "out", ("paper",))).artifacts
    return done.manifest.folder


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


def test_profiles_of_one_run_are_compared(artifact: Path, command: Command) -> None:
    other = quantized(artifact)
    answer = command("profile", artifact, other, "--rounds", "2", "--json")
    assert answer.code == 0, answer.err
    first, second = json.loads(answer.out)
    assert (first["artifact"], second["artifact"]) == ("paper-fp32", "paper-static_wi8_ai8")
    assert first["run"] == second["run"]
    assert len(first["calls_ms"]) == 5 * first["rounds"]
    assert first["min_ms"] <= first["median_ms"] <= max(first["calls_ms"])
    assert json.loads((artifact / PROFILE).read_text()) == first
    rows, _ = report(artifact.parents[1])
    assert [row.latency_ratio for row in rows] == [1, pytest.approx(second["median_ms"] / first["median_ms"])]
    # Another run's figures can't be compared.
    profile([other], 1, Progress(quiet=True))
    rows, _ = report(artifact.parents[1])
    assert [row.latency_ratio for row in rows] == [1, None]
    assert rows[1].median_ms is not None


def test_a_busy_machine_is_said(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_kit.timing.BusyMeter.cores", lambda self: 1.0)
    (found,) = profile([artifact], 1, Progress(quiet=True))
    assert found.reasons == ("other processes used more than 10% of a core in too many rounds",)
    report(artifact.parents[1])
    assert "- paper, fp32: not valid, other processes" in (artifact.parents[1] / "report.md").read_text()


def test_a_runtime_that_is_no_device_s_is_not_timed(
    artifact: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.paper_target.PaperRuntime.native", False)
    answer = command("profile", artifact)
    assert answer.code == 1
    assert answer.err == (
        "mobile-kit: artifact paper-fp32: paper runs it here, whose speed says nothing of the platform's. Profile it "
        "where that is.\n"
    )
    assert not (artifact / PROFILE).exists()


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
    assert answer.err.startswith(f"mobile-kit: file {artifact / name}: can't be read (")
    assert answer.err.count("\n") == 1
