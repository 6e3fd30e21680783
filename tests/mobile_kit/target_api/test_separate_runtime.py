"""A runtime in another process computes the same, and what ends it is one line here."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from mobile_kit.artifacts.manifest import open_runtime, read_manifest
from mobile_kit.errors import ArtifactError
from mobile_kit.target_api.separate_runtime import SeparateRuntime
from tests.exports import Export

pytestmark = pytest.mark.usefixtures("paper_targets")


def opened(folder: Path, path: Path | None = None) -> SeparateRuntime:
    manifest = read_manifest(folder)
    return SeparateRuntime("paper", path or manifest.model_path, manifest.inputs, manifest.outputs)


def test_it_computes_what_the_runtime_computes(paper_export: Path) -> None:
    manifest, separate = read_manifest(paper_export), opened(paper_export)
    here = open_runtime(manifest)
    for name in ("name", "native", "labels", "inputs", "outputs"):
        assert getattr(separate, name) == getattr(here, name)
    for seed in range(2):
        (spec,) = manifest.inputs
        image = np.random.default_rng(seed).integers(0, 256, spec.shape).astype(np.uint8)
        for name, value in here.run({spec.name: image}).items():
            np.testing.assert_array_equal(separate.run({spec.name: image})[name], value)


def test_a_file_that_can_not_be_loaded_is_said_in_the_runtime_s_words(paper_export: Path, tmp_path: Path) -> None:
    (tmp_path / "model.paper").write_bytes(b"torn")
    with pytest.raises(ArtifactError, match=r"^file model\.paper: torn \(\w+\)\. Export the model again\.$"):
        opened(paper_export, tmp_path / "model.paper")


def test_what_the_runtime_raises_over_an_input_is_a_line(paper_export: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^file model\.paper: fails \(KeyError: 'image'\)\.$"):
        opened(paper_export).run({})


def test_a_process_that_ends_is_a_line(paper_export: Path) -> None:
    separate = opened(paper_export)
    os.kill(separate._process.pid, signal.SIGSEGV)
    separate._process.wait()
    (spec,) = read_manifest(paper_export).inputs
    with pytest.raises(ArtifactError, match=r"^file model\.paper: its runtime ends over it \(SIGSEGV: .*\)\. Export"):
        separate.run({spec.name: np.zeros(spec.shape, np.uint8)})


def test_executorch_s_files_are_run_so(digits: Export) -> None:
    """Its runtime aborts over some damaged files, as it checks no more than their outline."""
    manifest = read_manifest(digits["executorch-xnnpack-fp32"])
    assert isinstance(open_runtime(manifest), SeparateRuntime)
    assert not isinstance(open_runtime(manifest, trusted=True), SeparateRuntime)
