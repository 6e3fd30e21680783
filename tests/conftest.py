"""What many tests share: small checkpoints on disk, and scenes that are drawn only once."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mobile_kit.checkpoints.load import Checkpoint, load
from mobile_kit.exporting.export import export as export_models
from mobile_kit.exporting.plan import ExportOptions
from mobile_kit.models.mobilevitv2 import HEADS
from mobile_kit.preprocessing.synthetic_images import scene
from tests import paper_target
from tests.exports import DIGITS, ROOT, Export, export
from tests.small_checkpoints import PROCESSOR, save, small_model

# Threads that spin while they wait take from an export's other processes what these compute on: of a small CvT, 38 s
# for 19. The processes that are started read the variable; here torch may have been loaded already.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
torch.set_num_threads(1)

# One layer a stage: converters take their time by the layer, and one shows as much as four.
SHALLOW = {"n_attn_blocks": (1, 1, 1)}


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
    """The shipped classifier: fp32 and fp16 on all targets."""
    return export(DIGITS, tmp_path_factory.mktemp("digits"), "--recipe", "fp32,fp16")


@pytest.fixture(scope="session")
def delegates(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A shallow classifier for ExecuTorch's delegates that run on a device only."""
    folder = save(small_model("classification", **SHALLOW), tmp_path_factory.mktemp("checkpoint") / "shallow")
    out = tmp_path_factory.mktemp("delegates")
    system = ("--deployment-target", "iOS18")
    coreml = export(folder, out, "--target", "executorch", "--backend", "coreml", "--recipe", "fp32,fp16", *system)
    vulkan = export(folder, out, "--target", "executorch", "--backend", "vulkan")
    return Export(folder, {**coreml.records, **vulkan.records}, out, coreml.stderr)


@pytest.fixture(scope="session")
def segmentation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shallow segmentation checkpoint of 96 px and five labels."""
    processor = {**PROCESSOR, "size": {"shortest_edge": 108}, "crop_size": {"height": 96, "width": 96}}
    model = small_model("segmentation", (96, 96), output_stride=16, **SHALLOW)
    return save(model, tmp_path_factory.mktemp("checkpoint") / "segmentation", processor)


@pytest.fixture(scope="session")
def segmentation(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Logits as Hugging Face gives them: fp32 and fp16 on all targets."""
    return export(segmentation_folder, tmp_path_factory.mktemp("segmentation"), "--recipe", "fp32,fp16")


@pytest.fixture(scope="session")
def mask(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A class map, resized and argmaxed in the graph: all targets."""
    return export(segmentation_folder, tmp_path_factory.mktemp("mask"), "--outputs", "mask")


@pytest.fixture(scope="session")
def segmenter(segmentation_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """What MediaPipe's ImageSegmenter takes."""
    out = tmp_path_factory.mktemp("segmenter")
    return export(segmentation_folder, out, "--outputs", "segmenter", "--target", "tflite")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A network without head, with the stages' maps: fp32 and fp16 on all targets."""
    folder = save(small_model("base", **SHALLOW), tmp_path_factory.mktemp("checkpoint") / "base")
    out = tmp_path_factory.mktemp("base")
    return export(folder, out, "--outputs", "hidden_states", "--recipe", "fp32,fp16")


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Gray, 104 x 136 px, patches of 3 in maps of 13 x 17, 7 x 9 and 4 x 5, kernels of 5, GELU: all targets."""
    size = (104, 136)
    model = small_model(
        "classification", size, patch_size=3, conv_kernel_size=5, hidden_act="gelu", num_channels=1, **SHALLOW
    )
    processor = {**PROCESSOR, "size": {"height": size[0], "width": size[1]}, "do_center_crop": False}
    folder = save(model, tmp_path_factory.mktemp("checkpoint") / "odd", processor)
    return export(folder, tmp_path_factory.mktemp("odd"))


@pytest.fixture
def paper_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the targets of paper_target.py for this process and its workers."""
    install_paper_targets(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def paper_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped classifier as an artifact of the target paper. Not to be changed."""
    folder = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        install_paper_targets(folder, patch)
        (done,) = export_models(ExportOptions(str(DIGITS), folder / "out", ("paper",))).artifacts
    return done.manifest.folder


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
