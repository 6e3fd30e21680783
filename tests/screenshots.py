"""Write the README's pictures of the web preview: python -m tests.screenshots CLASSIFIER SEGMENTER.

Both are artifacts of the shipped checkpoints: of mobilevitv2-digits and of mobilevitv2-scenes.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sample_apps.checkpoints.digits import held_out_views
from sample_apps.checkpoints.scenes import held_out_scenes
from tests.browser import opened
from tests.exports import ROOT
from tests.serving import served

FOLDER = ROOT / "sample_apps" / "web"
WIDTH_PX = 1200


def main(classifier: str, segmenter: str) -> None:
    """Try each artifact with an image that its network never saw, and write what the page looks like then."""
    (digit, _), (scene, _) = next(held_out_views(1, seed=5, size_px=480)), list(held_out_scenes(9, seed=4))[-1]
    FOLDER.mkdir(exist_ok=True)
    shoot(Path(classifier), digit, FOLDER / "classification.png")
    shoot(Path(segmenter), scene, FOLDER / "segmentation.png")


def shoot(artifact: Path, image: NDArray[np.uint8], picture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, served(artifact) as server, opened(Path(folder) / "profile") as page:
        photo = Path(folder) / "photo.png"
        Image.fromarray(image).save(photo)
        page.look(WIDTH_PX)
        page.open(server.address)
        page.drop([photo], "#stage")
        page.wait("!document.getElementById('answer').hidden && document.getElementById('seen').complete")
        height = page.tell("document.body.offsetHeight")
        with Image.open(io.BytesIO(page.picture())) as shot:
            page_only = shot.convert("RGB").crop((0, 0, WIDTH_PX, height))
        # Half the bytes; the method keeps the legend's colours as they are, and dithering the photos' shades.
        palette = page_only.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
        page_only.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(picture, optimize=True)
    print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
