"""Ops that resize the last axes: one linear interpolation for all of Core ML's sampling modes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from targets.coreml.mil.ops.precision import wide

GRIDS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    # The points of the input, 0 to n - 1, that m outputs i read: coremltools, iOS15/image_resizing.py, resize_bilinear.
    "ALIGN_CORNERS": lambda i, n, m: i * ((n - 1) / (m - 1)) if m > 1 else i + (n - 1) / 2,
    "DEFAULT": lambda i, n, m: i * (n / m),
    "OFFSET_CORNERS": lambda i, n, m: (i + 0.5) * (max(1, n - 1) / m),
    "STRICT_ALIGN_CORNERS": lambda i, n, m: i * ((n - 1) / max(1, m - 1)),
    "UNALIGN_CORNERS": lambda i, n, m: (i + 0.5) * (n / m) - 0.5,
}


def sampling_grid(mode: str, size: int, target: int) -> Tensor:
    """Return the points that the outputs read. Returns: (target,) float64, 0 to size - 1. Raises: ValueError."""
    if mode not in GRIDS:
        raise ValueError(f"sampling mode {mode!r} isn't known. Known: {', '.join(GRIDS)}.")
    return GRIDS[mode](torch.arange(target, dtype=torch.float64), size, target).clamp(0, size - 1)


@wide
def resize_linear(x: Tensor, targets: Sequence[int], mode: str) -> Tensor:
    """Interpolate the last axes to target sizes, one axis after the other."""
    for axis, target in enumerate(targets, start=x.ndim - len(targets)):
        size = x.shape[axis]
        grid = sampling_grid(mode, size, target)
        low = grid.floor().long()
        weight = (grid - low).to(x.dtype).view(-1, *[1] * (x.ndim - 1 - axis))
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=size - 1)), weight)
    return x


def resize_nearest(x: Tensor, targets: Sequence[int], mode: str = "DEFAULT") -> Tensor:
    """Pick the nearest values: for `DEFAULT` as torch's `nearest`, for `UNALIGN_CORNERS` as its `nearest-exact`.

    Raises: ValueError for another mode, whose rounding Apple doesn't document.
    """
    if mode not in ("DEFAULT", "UNALIGN_CORNERS"):
        raise ValueError(
            f"sampling mode {mode!r} isn't defined for nearest neighbours. Known: DEFAULT, UNALIGN_CORNERS."
        )
    for axis, target in enumerate(targets, start=x.ndim - len(targets)):
        numerator = torch.arange(target) * 2 + (mode == "UNALIGN_CORNERS")
        x = x.index_select(axis, numerator * x.shape[axis] // (2 * target))
    return x


def upsample_bilinear(
    x: Tensor,
    *,
    scale_factor_height: float = 1.0,
    scale_factor_width: float = 1.0,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """Scale the last two axes; half pixel centers are the opposite of aligned corners by default.

    Raises: ValueError where both are asked for.
    """
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    if align_corners and half:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    return resize_linear(x, _scaled(x, scale_factor_height, scale_factor_width), mode)


def upsample_nearest_neighbor(
    x: Tensor, *, scale_factor_height: float = 1.0, scale_factor_width: float = 1.0
) -> Tensor:
    """Scale the last two axes by repeating values."""
    return resize_nearest(x, _scaled(x, scale_factor_height, scale_factor_width))


def _scaled(x: Tensor, height_factor: float, width_factor: float) -> tuple[int, int]:
    # The factors are fp32, and so is the product in coremltools' type inference: 0.7 x 10 is 7 there, not 6.
    height, width = (
        int(np.floor(np.float32(size) * np.float32(factor)))
        for size, factor in zip(x.shape[-2:], (height_factor, width_factor), strict=True)
    )
    return height, width


def resize_bilinear(
    x: Tensor, *, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    """Resize the last two axes to a target size."""
    return resize_linear(x, (target_size_height, target_size_width), sampling_mode)


def resize_nearest_neighbor(x: Tensor, *, target_size_height: int, target_size_width: int) -> Tensor:
    """Resize the last two axes to a target size by repeating values."""
    return resize_nearest(x, (target_size_height, target_size_width))


def resize(
    x: Tensor,
    *,
    shape: Sequence[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """Resize the last `resized_dims` axes to the last sizes of `shape`, where 0 keeps a size (iOS 17)."""
    wanted = list(shape)[len(shape) - resized_dims :]
    targets = [target or size for target, size in zip(wanted, x.shape[x.ndim - resized_dims :], strict=True)]
    if interpolation_mode == "NEAREST_NEIGHBOR":
        return resize_nearest(x, targets, sampling_mode)
    return resize_linear(x, targets, sampling_mode)
