"""A job: one file to make, handed to a worker."""

import pickle
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.artifacts.manifest_record import JudgedRecord, ModelRecord
from mobile_kit.models.spec import CommonModel, Entry, ModelSpec, TensorSpec
from mobile_kit.preprocessing.in_graph import image_input
from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.quantization.calibration import CalibrationRecord
from mobile_kit.quantization.recipes import NOTHING_ASKED, QualityTarget
from mobile_kit.target_api.interface import Request

__all__ = ["GOLDEN_READY", "ExportJob", "write_pickle"]

GOLDEN_READY = "golden"


@dataclass(frozen=True)
class ExportJob:
    """One file to make, or a model whose parts to measure.

    model: the common model's pickle, which all jobs of an export share; on disk, so that the parent keeps no copy of
    the weights. spec: the model's. entry: how the image enters the file. folder: where the artifact is put together.
    kept_log: where the toolchain's own words stay if it fails. model_record, judged: the manifest's objects.
    calibration: the file of a calibrated recipe's images, and what the manifest says of them. wanted: what a mixed
    recipe must keep. measurements: the folder of those that its search makes. costs: the file of what each part costs,
    where that is all that is asked.
    """

    name: str
    target: str
    model: Path
    spec: ModelSpec
    entry: Entry
    request: Request
    preprocess: Preprocess
    model_record: ModelRecord
    judged: JudgedRecord
    folder: Path
    kept_log: Path
    calibration: tuple[Path, CalibrationRecord] | None = None
    wanted: QualityTarget = NOTHING_ASKED
    measurements: Path | None = None
    costs: Path | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the file takes."""
        return (image_input(self.spec, self.entry), *self.spec.inputs[1:])

    @property
    def handed(self) -> Path:
        """Where the job is written for its worker: beside its folder, not among the artifact's files."""
        return self.folder.with_name(f"{self.name}.pkl")

    @property
    def log(self) -> Path:
        """Where the toolchain's own words go as it says them."""
        return self.folder.with_name(f"{self.name}.log")


def write_pickle(content: ExportJob | CommonModel, path: Path) -> None:
    """Hand a job or a common model over to workers."""
    with path.open("wb") as stream:
        pickle.dump(content, stream)
