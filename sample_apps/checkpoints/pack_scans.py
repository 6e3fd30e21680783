"""Write the raw digit scans from scikit-learn into the file that is shipped: `python -m ...pack_scans`.

scikit-learn is needed here only; `digits.py` reads the shipped file.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from sample_apps.checkpoints.digits import SCANS_FILE

__all__ = ["pack_scans"]


def pack_scans(path: Path) -> None:
    """Write `scans`: (1797, 8, 8) uint8 of 0 to 16, and `digits`: (1797,) uint8 of 0 to 9."""
    data = load_digits()
    np.savez_compressed(path, scans=data.images.astype(np.uint8), digits=data.target.astype(np.uint8))


if __name__ == "__main__":
    pack_scans(SCANS_FILE)
