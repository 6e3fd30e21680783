"""The golden files of an artifact: a photo, the oracle's answers for it, and how far Hugging Face is from itself.

Written at export, read by every later verification, which then needs no checkpoint.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.artifacts.layout import INPUTS, ORACLE_FILE, OUTPUTS, PHOTO, SCENES_FILE, tensor_file
from mobile_kit.artifacts.manifest import Manifest
from mobile_kit.artifacts.manifest_record import InputRecord, ModelRecord, OutputRecord, PreprocessRecord
from mobile_kit.artifacts.older_versions import newer_oracle
from mobile_kit.checkpoints.oracle import Oracle, ReferenceNoise
from mobile_kit.errors import ArtifactError, one_line
from mobile_kit.models.spec import DISCRETE, Array, TensorSpec
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.quantization.recipes import NOTHING_ASKED, QualityTarget, QuantRecipe
from mobile_kit.reading import check_archive
from mobile_kit.records import RecordError, dumped, read_file

__all__ = [
    "Golden",
    "GoldenFiles",
    "GoldenRecord",
    "Sample",
    "measure_golden",
    "read_answers",
    "read_golden",
    "scenes_beside",
    "write_golden",
]

# The decibels of one photo are a draw of luck: between photos those of a narrow network scatter by 4 dB, as its errors
# move together. So an output is compared on further scenes: on more where it has few values, on none where many.
FEW_VALUES, LARGE = 1280, 2**14
LEAST_SCENES, MOST_SCENES = 7, 63
# Of all answers and images, unpacked: 63 of each at 640 pixels are a quarter of it.
MOST_SCENES_BYTES = 1 << 28
# Values of one output's answers that an artifact has room for.
MOST_STORED = 2**22
IMAGE = "image"
FIRST_SCENE = 100


@dataclass(frozen=True)
class Golden:
    """What files are judged on: a photo (H, W, C) and, for lower precision, images (N, h, w, C).

    images: None for drawn scenes in their place. wanted: what quantized files must keep. stored: whether the images
    lie in the artifacts.
    """

    photo: NDArray[np.uint8]
    images: NDArray[np.uint8] | None = None
    wanted: QualityTarget = NOTHING_ASKED
    stored: bool = True


@dataclass(frozen=True)
class Sample:
    """One image as it enters the file, with the oracle's outputs for it."""

    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]

    def further(self, manifest: Manifest) -> dict[str, Array]:
        """Return the values of the inputs behind the image."""
        return {spec.name: self.inputs[spec.name] for spec in manifest.inputs[1:]}


@dataclass(frozen=True)
class OracleRecord:
    """What a file holds of what the oracle said; its answers lie beside it.

    yardsticks: by output. model, preprocess, inputs, outputs: what the manifest must have under these names; inputs:
    those behind the image. recipe: the file's. least_sqnr_db, least_agreement: what a quantized one must keep.
    """

    oracle: str
    yardsticks: Mapping[str, ReferenceNoise]
    model: ModelRecord
    preprocess: PreprocessRecord
    inputs: tuple[InputRecord, ...]
    outputs: tuple[OutputRecord, ...]
    recipe: str
    least_sqnr_db: float | None
    least_agreement: float | None

    @property
    def wanted(self) -> QualityTarget:
        """What a quantized file must keep."""
        return QualityTarget(self.least_sqnr_db, self.least_agreement)


@dataclass(frozen=True)
class GoldenRecord(OracleRecord):
    """What the oracle said at export.

    scenes: the answers for further scenes, by the scene's number, of all but large outputs. images: in place of scenes,
    images at the network's size, by the same numbers.
    """

    scenes: Mapping[int, Mapping[str, Array]]
    images: Mapping[int, Array]

    def samples(self, manifest: Manifest, golden: Sample) -> list[Sample]:
        """Return the scenes as they enter the file; float32's, whose bound no luck decides, only where it must be."""
        if manifest.record.recipe.weight_bits >= 32 and not _spread_over_photos(manifest.outputs):
            return []
        preprocess, name = manifest.preprocess, manifest.inputs[0].name
        samples = []
        for number, reference in self.scenes.items():
            fitted = self.images.get(number)
            if fitted is None:
                fitted = preprocess.geometry(_scene(number, preprocess.channels))
            entering = preprocess.entering(fitted, manifest.in_graph)
            samples.append(Sample({**golden.inputs, name: entering}, reference))
        return samples


@dataclass(frozen=True)
class GoldenFiles:
    """What the oracle said of an export's images, for the files of every recipe.

    photo: (H, W, C). tensors: the golden values, by where they lie in an artifact. scenes: the answers for further
    scenes, by the scene's number and the output's name, and the images that stand in a scene's place. all_recipes:
    whether float32's files are judged on them too. stored: whether they lie in the artifacts. record: the rest, but for
    the model and the recipe.
    """

    photo: NDArray[np.uint8]
    tensors: Mapping[str, Array]
    scenes: Mapping[str, Array]
    all_recipes: bool
    stored: bool
    record: "partial[OracleRecord]"


def measure_golden(
    oracle: Oracle, golden: Golden, inputs: tuple[TensorSpec, ...], recipes: Collection[QuantRecipe]
) -> GoldenFiles:
    """Let the oracle answer for all that files of some recipes are judged on. inputs: the files'."""
    preprocess, in_graph = oracle.checkpoint.preprocess, inputs[0].meaning == "image"
    all_recipes = _spread_over_photos(oracle.outputs)
    lower = all_recipes or any(recipe.weight_bits < 32 for recipe in recipes)
    count, most = _further_photos(oracle, lower, golden.images is not None)
    stored = {} if golden.images is None or not count else dict(enumerate(golden.images))
    numbers = list(stored) or list(range(FIRST_SCENE, FIRST_SCENE + count))
    others = [preprocess.arithmetic(fitted) for fitted in stored.values()]
    others = others or [oracle.pixel_values(_scene(number, preprocess.channels)) for number in numbers]
    values = np.concatenate([oracle.pixel_values(golden.photo), *others])
    yardsticks, answers = oracle.measure(values, any(recipe.weight_bits == 16 for recipe in recipes), most)
    tensors = {tensor_file(OUTPUTS, out.name): answers[out.name][:1].astype(out.dtype) for out in oracle.outputs}
    tensors[tensor_file(INPUTS, inputs[0].name)] = preprocess.entering(preprocess.geometry(golden.photo), in_graph)
    tensors |= {tensor_file(INPUTS, name): value for name, value in oracle.further.items()}
    scenes = _by_scene(answers, numbers) | {f"{IMAGE} {number}": fitted for number, fitted in stored.items()}
    record = partial(
        OracleRecord,
        oracle="Hugging Face transformers, eager, float32",
        yardsticks=yardsticks,
        preprocess=PreprocessRecord.of(preprocess, in_graph),
        inputs=tuple(map(InputRecord.of, inputs[1:])),
        outputs=tuple(map(OutputRecord.of, oracle.outputs)),
        least_sqnr_db=golden.wanted.sqnr_db,
        least_agreement=golden.wanted.agreement,
    )
    return GoldenFiles(golden.photo, tensors, scenes, all_recipes, golden.stored, record)


def _by_scene(answers: Mapping[str, Array], numbers: Sequence[int]) -> dict[str, Array]:
    """Return each answer behind the golden one under the number of its scene and the name of its output."""
    return {
        f"{number} {name}": answer[place : place + 1].astype(np.float32)
        for name, answer in answers.items()
        for place, number in enumerate(numbers, start=1)
        if place < len(answer)
    }


def write_golden(files: GoldenFiles, model: ModelRecord, folders: Mapping[Path, QuantRecipe]) -> None:
    """Write the golden files into artifact folders. folders: the recipe of the file in each."""
    photo = files.photo[:, :, 0] if files.photo.shape[2] == 1 else files.photo
    for folder, recipe in folders.items():
        for place in (INPUTS, OUTPUTS):
            (folder / place).mkdir(parents=True)
        Image.fromarray(photo).save(folder / PHOTO)
        for name, tensor in files.tensors.items():
            # Raw little-endian bytes; numpy's own tofile says nothing where a disk is full.
            (folder / name).write_bytes(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes())
        if files.scenes and (recipe.weight_bits < 32 or files.all_recipes):
            beside = folder / SCENES_FILE if files.stored else scenes_beside(folder)
            np.savez(beside, **dict[str, Any](files.scenes))
        record = files.record(model=model, recipe=recipe.name)
        (folder / ORACLE_FILE).write_text(dumped(record), encoding="utf-8")


def scenes_beside(folder: Path) -> Path:
    """Return where the images and answers lie, while an artifact is made, that are to be no part of it."""
    return folder.with_name(f"{folder.name}-{Path(SCENES_FILE).name}")


def read_golden(manifest: Manifest) -> Sample:
    """Return the golden photo as it enters the file, with the oracle's outputs. Raises: ArtifactError."""
    return Sample(
        {each.name: manifest.golden(each) for each in manifest.record.inputs},
        {each.name: manifest.golden(each) for each in manifest.record.outputs},
    )


def read_answers(manifest: Manifest, scenes_file: Path | None = None) -> GoldenRecord:
    """Return what else the oracle said; scenes_file: the answers for further photos, None for the artifact's own.

    Raises: ArtifactError where that can't be read.
    """
    way = "Export the model again"
    try:
        told = read_file(
            OracleRecord, manifest.folder / ORACLE_FILE, lambda values: newer_oracle(values, manifest.version)
        )
    except RecordError as exc:
        raise ArtifactError(f"artifact {manifest.folder}: {ORACLE_FILE} {one_line(exc)}. {way}.") from exc
    try:
        scenes, images = _stored(scenes_file or manifest.folder / SCENES_FILE)
    except Exception as exc:  # numpy and zipfile raise a dozen kinds for a damaged file
        reason = f"{SCENES_FILE} can't be read ({one_line(exc)})"
        raise ArtifactError(f"artifact {manifest.folder}: {reason}. {way}.") from exc
    _check_answers(manifest, told, scenes, images)
    return GoldenRecord(**vars(told), scenes=scenes, images=images)


def _check_answers(
    manifest: Manifest, told: OracleRecord, scenes: Mapping[int, Mapping[str, Array]], images: Mapping[int, Array]
) -> None:
    """Raise ArtifactError where what the oracle said isn't of the outputs and images that it names."""
    wanted = {out.name: out.shape for out in told.outputs}
    wrong = [f"{ORACLE_FILE} lacks {name}" for name in wanted.keys() - told.yardsticks.keys()]
    answers = [(name, answer) for scene in scenes.values() for name, answer in scene.items()]
    wrong += [
        f"{SCENES_FILE} holds {name[:50]!r} of {list(answer.shape)}"
        for name, answer in answers
        if wanted.get(name) != answer.shape or answer.dtype != np.float32
    ]
    preprocess = told.preprocess.preprocess
    fitted = (*preprocess.image_size, preprocess.channels)
    wrong += [
        f"{SCENES_FILE} holds an image of {list(image.shape)}"
        for image in images.values()
        if image.shape != fitted or image.dtype != np.uint8
    ]
    if wrong:
        raise ArtifactError(f"artifact {manifest.folder}: {wrong[0]}. Export the model again.")


def _stored(path: Path) -> tuple[dict[int, dict[str, Array]], dict[int, Array]]:
    """Return the scenes' answers, and the images that stand in a scene's place."""
    scenes: dict[int, dict[str, Array]] = {}
    images: dict[int, Array] = {}
    if not path.is_file():
        return scenes, images
    check_archive(path, MOST_SCENES_BYTES)
    with np.load(path) as stored:
        for key in stored:
            number, _, name = key.partition(" ")
            if number == IMAGE:
                images[int(name)] = stored[key]
            else:
                scenes.setdefault(int(number), {})[name] = stored[key]
    return scenes, images


def _further_photos(oracle: Oracle, lower: bool, calibrated: bool) -> tuple[int, dict[str, int]]:
    """Return how many photos to judge on beside the golden one, and how many of all judge the outputs that are large.

    lower: whether any file is of lower precision. calibrated: whether there are calibration images to judge on.
    """
    sizes = {out.name: math.prod(out.shape) for out in oracle.outputs}
    small = [sizes[out.name] for out in oracle.outputs if out.meaning not in DISCRETE and sizes[out.name] < LARGE]
    if not lower or not (small or calibrated):
        return 0, {}
    # On as many of those as an artifact has room for the answers.
    large = {name: max(MOST_STORED // size, 1) if calibrated else 1 for name, size in sizes.items()}
    others = {out.name for out in oracle.outputs if out.meaning in DISCRETE or sizes[out.name] >= LARGE}
    count = min(max(math.ceil(FEW_VALUES / min(small, default=LARGE)) - 1, LEAST_SCENES), MOST_SCENES)
    return count, {name: large[name] for name in others}


def _spread_over_photos(outputs: Iterable[TensorSpec]) -> bool:
    return any(out.spread_over_photos for out in outputs)


def _scene(number: int, channels: int) -> NDArray[np.uint8]:
    return scene(number, channels=channels)
