"""The layout of an artifact: what its files are called, and where they lie in its folder."""

import re

__all__ = [
    "ANSWERS",
    "EARLIER",
    "EXPORT",
    "INPUTS",
    "LABELS",
    "LOGS",
    "MANIFEST",
    "ORACLE_FILE",
    "OUTPUTS",
    "PHOTO",
    "PROFILES",
    "SCENES_FILE",
    "SCORES",
    "VERIFY",
    "profile_name",
    "tensor_file",
    "verify_name",
]

MANIFEST = "manifest.json"
# What the artifact was made of, for later exports.
EXPORT = "export.json"
LABELS = "labels.txt"
# The golden files: a photo before the app's geometry, each input and output as raw little-endian values, what else the
# oracle said, and its answers for further photos.
PHOTO = "golden/photo.png"
INPUTS, OUTPUTS = "golden/inputs", "golden/outputs"
ORACLE_FILE = "golden/oracle.json"
SCENES_FILE = "golden/scenes.npz"
# What is written after the export: verification, an evaluation's scores and its answers image by image, and results.
VERIFY = "verify.json"
SCORES, ANSWERS = "evaluation.json", "evaluation.jsonl"
PROFILES = "profile-*.json"
# Beside the artifacts of a model: the toolchains' own words, where an export failed.
LOGS = "logs"
# Beside the models' folders: results of files that were replaced, by the model's name, the artifact's and a number.
EARLIER = "earlier"


def tensor_file(folder: str, name: str) -> str:
    """Return where the golden values of an input or output lie; folder: `INPUTS` or `OUTPUTS`."""
    return f"{folder}/{name}.bin"


def profile_name(device: str) -> str:
    """Return what the file of a device's results is called."""
    safe = "".join(char if char.isalnum() or char in "._" else "-" for char in device)
    return PROFILES.replace("*", safe)


def verify_name(runtime: str | None) -> str:
    """Return what a verification's file is called; runtime: the other runtime that the file was run on, if any."""
    return f"verify-{re.sub(r'[^a-z0-9.]+', '-', runtime)}.json" if runtime else VERIFY
