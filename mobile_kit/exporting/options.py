"""What is asked of an export."""

from dataclasses import dataclass
from pathlib import Path

from mobile_kit.quantization.recipes import QualityTarget

__all__ = ["ExportOptions"]


@dataclass(frozen=True)
class ExportOptions:
    """What to export. None means the checkpoint's or the target's own default.

    targets: names, all installed ones where empty. outputs: names as `outputs.known_outputs` has them.
    pixel_values: the file takes the processor's result in place of image bytes. photo: becomes the golden photo.
    name: of the folder in `out`; None for the checkpoint's. calibration: a folder of images, for static recipes. What
    is judged in lower precision is judged on some that are held out, or on those of the folder judge_on. samples:
    whether the images that files are judged on lie in the artifacts, for later verifications.
    min_sqnr, min_agreement: what every quantized file must keep, in place of its recipe's own bound; see
    `quantization.QualityTarget`. force: make artifacts that are up to date again, and replace those of other models
    and options.
    """

    model: str
    out: Path
    targets: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("fp32",)
    head: str | None = None
    backend: str | None = None
    deployment_target: str | None = None
    image_size: tuple[int, int] | None = None
    pixel_values: bool = False
    outputs: tuple[str, ...] = ()
    revision: str | None = None
    random_weights: bool = False
    allow_pickle: bool = False
    weights_prefix: str = ""
    photo: Path | None = None
    calibration: Path | None = None
    calibration_samples: int = 128
    judge_on: Path | None = None
    samples: bool = True
    min_sqnr: float | None = None
    min_agreement: float | None = None
    name: str | None = None
    force: bool = False

    @property
    def wanted(self) -> QualityTarget:
        """What quantized files must keep."""
        return QualityTarget(self.min_sqnr, self.min_agreement)
