"""Natural-looking images without a photo collection: the dead-leaves model.

Discs of random size, place and colour that occlude one another, with radii of density r**-3, share the edges, the
scale invariance and the colour correlations of photos (Lee, Mumford and Huang, "Occlusion models for natural images",
IJCV 2001). They serve where a photo is needed and none is given: golden inputs, batch-norm statistics of random
weights, and the check that a reference sees its input.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["scene"]

LEAVES = 400
# The seed of a scene's fourth channel.
FURTHER, LEAST_ALPHA = 1_000_000, 64


def scene(seed: int, height: int = 427, width: int = 613, channels: int = 3) -> NDArray[np.uint8]:
    """Return a scene, (height, width, channels) uint8. The same seed and size give the same bytes everywhere.

    channels: 1 to 4; 3 are RGB. A fourth is of another scene, and never 0, as Pillow takes it for an alpha.
    """
    image = _rgb(seed, height, width)
    if channels == 4:
        return np.dstack([image, np.maximum(_rgb(seed + FURTHER, height, width)[:, :, :1], LEAST_ALPHA)])
    return image[:, :, :channels]


def _rgb(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    image = np.empty((height, width, 3), np.float32)
    image[:] = rng.uniform(60, 200, 3)
    longest = max(height, width)
    # Inverse transform of the density r**-3 between a hundredth and a half of the longer side.
    radii = np.sort(longest * (100.0**2 - rng.uniform(0, 1, LEAVES) * (100.0**2 - 2.0**2)) ** -0.5)[::-1]
    for radius in radii:
        top, left = rng.uniform(0, height), rng.uniform(0, width)
        base, tint = rng.uniform(20, 235), rng.normal(0, 35, 3)
        slope = rng.normal(0, 30, 2) / radius
        # Most discs are small: only the square around one is looked at.
        box = tuple(slice(max(int(at - radius), 0), int(at + radius) + 2) for at in (top, left))
        down, across = rows[box] - top, columns[box] - left
        inside = down**2 + across**2 < radius**2
        shade = base + slope[0] * down[inside] + slope[1] * across[inside]
        image[box][inside] = shade[:, None] + tint
    image += rng.normal(0, 4, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
