"""What a released version wrote is still read: an artifact with all that was measured of it, and a bundle.

`tests/released` has a folder a version, written by it, of a ViTMSN of one layer. A folder is never changed: a version
that changes what it writes adds one, and raises the schema version where a key is new.
"""

import shutil
from pathlib import Path

import pytest

from mobile_kit.apps.bundle import BundleOptions, bundle
from mobile_kit.apps.bundle_record import set_aside
from mobile_kit.artifacts.golden import read_answers, read_golden
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.artifacts.scores import read_scores
from mobile_kit.artifacts.verification import read_report
from mobile_kit.evaluation.verify import verify
from mobile_kit.reporting.summary import summarize

RELEASED = Path(__file__).parents[1] / "released"
VERSIONS = sorted(path.name for path in RELEASED.iterdir())


@pytest.fixture(params=VERSIONS)
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a version wrote."""
    return Path(shutil.copytree(RELEASED / request.param, tmp_path / request.param))


def test_an_artifact_is_read_whole(released: Path) -> None:
    manifest = read_manifest(released / "artifact")
    assert (manifest.record.target, manifest.record.recipe.name) == ("tflite", "fp16")
    answers = read_answers(manifest)
    assert len(answers.samples(manifest, read_golden(manifest))) == 63
    report = read_report(manifest)
    assert report is not None
    assert report.status == "passed"
    assert [score.metric for score in read_scores(manifest.folder)] == ["top1", "top5"]
    (row,) = (found := summarize([manifest.folder])).rows
    assert (row.status, row.value) == ("passed", 0.5)
    assert [each.result.latency.p50 for each in found.measured] == [2000]


def test_an_artifact_is_verified_and_bundled(released: Path, tmp_path: Path) -> None:
    assert verify(released / "artifact").failure is None
    bundle([released / "artifact"], BundleOptions("android", tmp_path / "app", library_only=True))
    assert (tmp_path / "app" / "models").is_dir()


def test_a_bundle_is_known_as_the_kit_s_and_unchanged(released: Path) -> None:
    assert set_aside(released / "bundle", force=True) is None
