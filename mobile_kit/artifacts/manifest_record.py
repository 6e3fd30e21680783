"""What manifest.json holds, key by key; errors of a file and the JSON Schema both come from here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from mobile_kit.artifacts.layout import INPUTS, OUTPUTS, tensor_file
from mobile_kit.models.spec import Activation, Meaning, ModelSpec, TensorSpec
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.quantization.calibration import CalibrationRecord
from mobile_kit.quantization.parts import FloatPart
from mobile_kit.records import Amount, Count, Sha256, schema_of
from mobile_kit.target_api.interface import Fallback

__all__ = [
    "SCHEMA_VERSION",
    "FileRecord",
    "GraphRecord",
    "InputRecord",
    "JudgedRecord",
    "ManifestRecord",
    "ModelRecord",
    "OutputRecord",
    "PreprocessRecord",
    "RecipeRecord",
    "schema",
]

SCHEMA_VERSION: Final = 2
# Below the artifact's folder, with slashes, on one line.
ArtifactPath = Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?!(.*/)?\.\.(/|$))[^\\\x00-\x1f\x7f]+$(?!\n)")]
Shape = tuple[Count, ...]
Size = tuple[Count, Count]
DType = Literal["float32", "float16", "uint8", "int8", "int32", "int64", "bool"]
Color = Literal["RGB", "BGR", "GRAY"]
# Of 4 channels no photo is the image; they go by Pillow's name.
ChannelOrder = Literal["RGB", "BGR", "GRAY", "RGBA"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
# An edge, or both.
RESIZES = ({"shortest_edge"}, {"height", "width"})
Resize = Annotated[
    dict[str, Count],
    msgspec.Meta(
        extra_json_schema={
            "oneOf": [
                {
                    "type": "object",
                    "properties": {edge: {"type": "integer", "minimum": 1} for edge in sorted(edges)},
                    "required": sorted(edges),
                    "additionalProperties": False,
                }
                for edges in RESIZES
            ]
        }
    ),
]


@dataclass(frozen=True)
class ModelRecord:
    """The checkpoint.

    image_size: (height, width). revision: a commit of the Hub's. license: that of the weights. activation: what makes
    scores of a classifier's logits, None of another head.
    """

    family: str
    head: str
    source: str
    revision: str | None
    license: str | None
    image_size: Size
    num_parameters: Count
    num_labels: int | None
    activation: Activation | None
    random_weights: bool

    @classmethod
    def of(
        cls, spec: ModelSpec, source: str, revision: str | None, license_name: str | None, random_weights: bool
    ) -> "ModelRecord":
        """Return the record of a model and where its weights are from."""
        return cls(
            family=spec.family,
            head=spec.head,
            source=source,
            revision=revision,
            license=license_name,
            image_size=spec.image_size,
            num_parameters=spec.num_parameters,
            num_labels=spec.num_labels,
            activation=spec.activation,
            random_weights=random_weights,
        )


@dataclass(frozen=True)
class RecipeRecord:
    """The recipe as it was carried out. float_ops: what a quantized file computes in float."""

    name: str
    scheme: str
    weight_bits: int
    activation_bits: int
    float_ops: tuple[FloatPart, ...]
    calibration: CalibrationRecord | None


@dataclass(frozen=True)
class PreprocessRecord:
    """A `Preprocess`, how its resizing rounds a size, and whether the file does the arithmetic itself."""

    resize: Resize | None
    crop: Size | None
    resample: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
    channel_order: ChannelOrder
    scale: float
    mean: Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=4)]
    std: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1, max_length=4)]
    rounding: Literal["truncate"]
    in_graph: bool

    def __post_init__(self) -> None:
        """Refuse edges that don't go together."""
        if self.resize is not None and set(self.resize) not in RESIZES:
            raise ValueError("Expected `shortest_edge`, or `height` and `width`")

    @classmethod
    def of(cls, preprocess: Preprocess, in_graph: bool) -> "PreprocessRecord":
        """Return the record of what is done to a photo."""
        return cls(**vars(preprocess), rounding="truncate", in_graph=in_graph)

    @property
    def preprocess(self) -> Preprocess:
        """What the app does to a photo, and the graph after it."""
        values = vars(self)
        return Preprocess(**{name: values[name] for name in Preprocess.__dataclass_fields__})


@dataclass(frozen=True)
class InputRecord:
    """An input of the file. golden: where its golden value lies."""

    name: str
    shape: Shape
    dtype: DType
    layout: str | None
    color: Color | None
    range: tuple[float, float] | None
    golden: ArtifactPath

    @classmethod
    def of(cls, spec: TensorSpec) -> "InputRecord":
        """Return the record of an input."""
        return cls(**_values(spec, "color", "range"), golden=tensor_file(INPUTS, spec.name))

    def spec(self, meaning: Meaning) -> TensorSpec:
        """Return the input with its meaning, which a manifest doesn't say."""
        return TensorSpec(self.name, self.shape, self.dtype, self.layout, meaning, self.color, self.range)


@dataclass(frozen=True)
class OutputRecord:
    """An output of the file. golden: where the oracle's answer for the golden photo lies."""

    name: str
    shape: Shape
    dtype: DType
    layout: str | None
    meaning: Literal["features", "index", "kept", "logits", "loss", "mask", "probabilities", "values"]
    golden: ArtifactPath

    @classmethod
    def of(cls, spec: TensorSpec) -> "OutputRecord":
        """Return the record of an output."""
        return cls(**_values(spec, "meaning"), golden=tensor_file(OUTPUTS, spec.name))

    @property
    def spec(self) -> TensorSpec:
        """The output as the file has it."""
        return TensorSpec(self.name, self.shape, self.dtype, self.layout, self.meaning)


@dataclass(frozen=True)
class GraphRecord:
    """The file's graph. ops: how many of each type. partitions: those that a delegate takes."""

    ops: Mapping[str, Count]
    partitions: int | None
    fallback_ops: tuple[Fallback, ...]


@dataclass(frozen=True)
class JudgedRecord:
    """What the file was held against the checkpoint on at export, beside the golden photo.

    images: how many were given, None of drawn scenes. sha256: of their pixels. stored: whether they lie in the
    artifact, so that later verifications judge on them too.
    """

    on: Literal["drawn scenes", "held-out images", "other images"]
    images: Count | None
    sha256: Sha256 | None
    stored: bool

    def __str__(self) -> str:
        return self.on if self.images is None else f"{self.images} {self.on}"


@dataclass(frozen=True)
class FileRecord:
    """A file of the artifact."""

    sha256: Sha256
    bytes: Amount


@dataclass(frozen=True)
class ManifestRecord:
    """The whole of manifest.json.

    judged: None of artifacts of version 1. files: all but the manifest and what is measured later, by their paths.
    """

    schema_version: Literal[2]
    kit_version: str
    model: ModelRecord
    target: str
    backend: str | None
    deployment_target: str | None
    model_file: ArtifactPath
    recipe: RecipeRecord
    preprocess: PreprocessRecord
    inputs: Annotated[tuple[InputRecord, ...], msgspec.Meta(min_length=1)]
    outputs: Annotated[tuple[OutputRecord, ...], msgspec.Meta(min_length=1)]
    graph: GraphRecord
    judged: JudgedRecord | None
    files: Annotated[Mapping[ArtifactPath, FileRecord], msgspec.Meta(min_length=1)]
    tools: Mapping[str, str]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest."""
    return schema_of(ManifestRecord, "mobile_kit artifact manifest")


def _values(spec: TensorSpec, *further: str) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in ("name", "shape", "dtype", "layout", *further)}
