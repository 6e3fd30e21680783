"""What many tests share: small checkpoints on disk, and scenes that are drawn only once."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.exporting.export import export as export_models
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.models.mobilevitv2 import HEADS
from mobile_kit.preprocessing.synthetic_images import scene
from tests import paper_target
from tests.exports import DIGITS, ROOT, TARGETS, Export, export
from tests.one_process import exports_of, workers_here
from tests.sharing import once
from tests.skips import pytest_addoption, pytest_make_collect_report, pytest_runtest_makereport
from tests.small_checkpoints import PROCESSOR, save, small_model
from tests.small_families import VIT_MSN

__all__ = ["pytest_addoption", "pytest_make_collect_report", "pytest_runtest_makereport"]

# Threads that spin while they wait take from an export's other processes what these compute on: of a small CvT, 38 s
# for 19. The processes that are started read the variable; here torch may have been loaded already.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
torch.set_num_threads(1)

# Folders whose tests share what is dear to make, or hold a port.
TOGETHER = ("apps", "device_lab")
# One layer a stage: converters take their time by the layer, and one shows as much as four.
SHALLOW = {"n_attn_blocks": (1, 1, 1)}
STATES = ("--outputs", "hidden_states")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let a file's tests, or a folder's, be of one process, where several share the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            folder = file.removeprefix("tests/").partition("/")[0]
            return folder if folder in TOGETHER else file

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _scenes_once() -> Iterator[None]:
    """Random weights and golden files need many, and the same seed and size give the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("artifacts.golden", "checkpoints.random_weights"):
            patch.setattr(f"mobile_kit.{module}.scene", functools.cache(scene))
        yield


@pytest.fixture(scope="session")
def small_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each head, 64 px, as save_pretrained writes it. Not to be changed."""
    root = tmp_path_factory.mktemp("small")
    return {head: save(small_model(head), root / head) for head in HEADS}


@pytest.fixture(scope="session")
def small_checkpoints(small_folders: dict[str, Path]) -> dict[str, Checkpoint]:
    """The small checkpoints, loaded. Not to be changed."""
    return {head: load(str(folder)) for head, folder in small_folders.items()}


@pytest.fixture
def model(small_folders: dict[str, Path]) -> Path:
    return small_folders["classification"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that isn't there yet, nor is its parent."""
    return tmp_path / "build" / "artifacts"


@pytest.fixture
def classifier_folder(small_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the small classification checkpoint, to be damaged."""
    return Path(shutil.copytree(small_folders["classification"], tmp_path / "classifier"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The shipped classifier: fp32 and fp16 on all targets, each file in a process of its own."""
    return once(tmp_path_factory, "digits", lambda place: export(DIGITS, place, "--recipe", "fp32,fp16"))


@pytest.fixture(scope="session")
def delegates(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A classifier of one layer for ExecuTorch's delegates that run on a device only."""

    def make(place: Path) -> Export:
        folder = VIT_MSN.save(VIT_MSN.model("classification", (64, 64), {"num_hidden_layers": 1}), place / "one-layer")
        to_coreml = ("executorch", "fp16", "--backend", "coreml", "--deployment-target", "iOS18")
        return exports_of(folder, place / "out", to_coreml, ("executorch", "fp32", "--backend", "vulkan"))

    return once(tmp_path_factory, "delegates", make)


@pytest.fixture(scope="session")
def segmentation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shallow segmentation checkpoint of 96 px and five labels."""
    processor = {**PROCESSOR, "size": {"shortest_edge": 108}, "crop_size": {"height": 96, "width": 96}}

    def make(place: Path) -> Path:
        model = small_model("segmentation", (96, 96), output_stride=16, **SHALLOW)
        return save(model, place / "segmentation", processor)

    return once(tmp_path_factory, "segmentation-checkpoint", make)


@pytest.fixture(scope="session")
def segmentation(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Logits as Hugging Face gives them: on all targets."""
    made = (("coreml", "fp16"), ("executorch", "fp16"), ("tflite", "fp32"))
    return once(tmp_path_factory, "segmentation", lambda place: exports_of(segmentation_folder, place, *made))


@pytest.fixture(scope="session")
def whole_segmentation(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """It in fp32 and fp16 on all targets: for slow tests."""
    return once(
        tmp_path_factory,
        "whole-segmentation",
        lambda place: export(segmentation_folder, place, "--recipe", "fp32,fp16"),
    )


@pytest.fixture(scope="session")
def mask(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A class map, resized and argmaxed in the graph: all targets."""
    made = [(target, "fp32", "--outputs", "mask") for target in TARGETS]
    return once(tmp_path_factory, "mask", lambda place: exports_of(segmentation_folder, place, *made))


@pytest.fixture(scope="session")
def segmenter(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """What MediaPipe's ImageSegmenter takes."""
    made = ("tflite", "fp32", "--outputs", "segmenter")
    return once(tmp_path_factory, "segmenter", lambda place: exports_of(segmentation_folder, place, made))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A network without head, with the stages' maps: on all targets."""

    made = [(*each, *STATES) for each in (("coreml", "fp16"), ("executorch", "fp32"), ("tflite", "fp32"))]
    return once(tmp_path_factory, "base", lambda place: exports_of(base_folder(place), place / "out", *made))


@pytest.fixture(scope="session")
def whole_base(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """It in fp32 and fp16 on all targets: for slow tests."""

    def make(place: Path) -> Export:
        return export(base_folder(place), place / "out", *STATES, "--recipe", "fp32,fp16")

    return once(tmp_path_factory, "whole-base", make)


def base_folder(place: Path) -> Path:
    return save(small_model("base", **SHALLOW), place / "base")


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Gray, 104 x 136 px, patches of 3 in maps of 13 x 17, 7 x 9 and 4 x 5, kernels of 5, GELU: all targets."""
    size = (104, 136)
    unusual = {"patch_size": 3, "conv_kernel_size": 5, "hidden_act": "gelu", "num_channels": 1}
    processor = {**PROCESSOR, "size": {"height": size[0], "width": size[1]}, "do_center_crop": False}

    def make(place: Path) -> Export:
        folder = save(small_model("classification", size, **unusual, **SHALLOW), place / "odd", processor)
        return exports_of(folder, place / "out", *((target, "fp32") for target in TARGETS))

    return once(tmp_path_factory, "odd", make)


@pytest.fixture
def one_process() -> Iterator[None]:
    """Export in this process alone, as each worker imports torch anew; not where a test is about workers."""
    with workers_here():
        yield


@pytest.fixture
def paper_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the targets of paper_target.py for this process and its workers."""
    install_paper_targets(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def paper_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped classifier as an artifact of the target paper. Not to be changed."""

    def make(place: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch, workers_here():
            install_paper_targets(place, patch)
            (done,) = export_models(ExportOptions(str(DIGITS), place / "out", ("paper",))).artifacts
        return done.manifest.folder

    return once(tmp_path_factory, "paper", make)


@pytest.fixture
def paper_artifact(paper_export: Path, paper_targets: None, tmp_path: Path) -> Path:
    """A copy of it, in a folder of artifacts."""
    return Path(shutil.copytree(paper_export, tmp_path / "out" / paper_export.parent.name / paper_export.name))


def install_paper_targets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the targets of paper_target.py; folder: of the test."""
    places = {target.name: f"{paper_target.__name__}:{target.name}" for target in paper_target.TARGETS}
    install_targets(folder, monkeypatch, places)


def install_targets(folder: Path, monkeypatch: pytest.MonkeyPatch, places: Mapping[str, str]) -> None:
    """Install targets of a package `others` for this process and its workers. places: module:name, by the target's."""
    info = folder / "installed" / "others-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in places.items()]
    (info / "entry_points.txt").write_text("\n".join(["[mobile_kit.targets]", *lines, ""]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(info.parent), str(ROOT)]))
    monkeypatch.syspath_prepend(info.parent)


@dataclass(frozen=True)
class Answer:
    """What a command ended with and said."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process; native code's words are caught too."""
    from mobile_kit.cli.main import main

    def run(*arguments: str | Path) -> Answer:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as usage:  # argparse's way out
            code = int(usage.code or 0)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run
