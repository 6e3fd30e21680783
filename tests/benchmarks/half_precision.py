"""Where the bound of float16 files stands: Hugging Face's float16 on each CPU's kernels, and what runtimes add to it.

`python -m tests.benchmarks.half_precision` exports the digit checkpoints' float16 .pte, computes the yardstick under
each capability that torch and oneDNN can be held to here, and runs the files on this CPU and, where qemu-x86_64 is
installed, on older ones. Two files that are really worse are held against the bound as well. Some minutes a family, and
twenty with qemu.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from mobile_kit.artifacts.golden import read_answers
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.oracle import Oracle
from mobile_kit.demo import shipped_families
from mobile_kit.evaluation.verify import verify
from mobile_kit.exporting.export import export
from mobile_kit.exporting.options import ExportOptions
from mobile_kit.models.outputs import select_outputs
from mobile_kit.preprocessing.in_graph import attach
from mobile_kit.preprocessing.synthetic_images import scene
from mobile_kit.progress import Progress
from mobile_kit.quantization.recipes import recipe
from mobile_kit.target_api.interface import ModelCard, Request
from targets.executorch import TARGET
from targets.executorch import float16 as float16
from targets.executorch import lower as lowering
from targets.executorch.norms import LinearNorm
from tests.damage import refresh_hashes
from tests.exports import CHECKPOINTS, ROOT

# ATEN_CPU_CAPABILITY, and oneDNN's instruction set beside it, from the least on.
CAPABILITIES = {"default": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}
# A model that has what XNNPACK's half kernels need and that qemu can be: it knows no AVX-512.
QEMU, MODELS = "qemu-x86_64", ("Haswell",)
WORSE = {
    "no HalfNorm": lambda: patch.object(lowering, "HalfNorm", LinearNorm),
    "half softmax": lambda: patch.object(float16.FloatSoftmax, "forward", lambda self, x: torch.softmax(x, -1)),
}


def yardstick(artifact: Path) -> dict[str, float | None]:
    """Compute Hugging Face's float16 on the images that an artifact is judged on. Returns: decibels by output."""
    manifest = read_manifest(artifact)
    oracle = Oracle(load(str(_checkpoint(artifact))), manifest.outputs)
    images = [oracle.pixel_values(scene(number)) for number in (1, *read_answers(manifest).scenes)]
    found = oracle.measure(torch.cat([*map(torch.from_numpy, images)]).numpy(), half=True)[0]
    return {name: each.float16_sqnr_db for name, each in found.items()}


def verified(artifact: Path) -> dict[str, Any]:
    """Verify an artifact on this process's CPU, which may be an emulated one."""
    report = verify(artifact).to_json()
    return {"failure": report["failure"], **{out["name"]: out["sqnr_db"] for out in report["outputs"]}}


def worse(artifact: Path, kind: str) -> Path:
    """Write a copy of an artifact whose file lacks what keeps float16 exact."""
    checkpoint = load(str(_checkpoint(artifact)))
    head = checkpoint.head
    built = checkpoint.family.build(checkpoint.model, head.name, checkpoint.image_size, ())
    model = attach(select_outputs(built, head, ()), checkpoint.preprocess, TARGET.entry, True)
    copy = Path(shutil.copytree(artifact, artifact.with_name(kind.replace(" ", "-"))))
    request = Request(recipe("fp16"), "xnnpack", None, ModelCard(kind, kind, None, None, kind, None))
    with WORSE[kind]():
        lowering.lower(model, request, copy / TARGET.model_file)
    refresh_hashes(copy)
    return copy


def _checkpoint(artifact: Path) -> Path:
    return CHECKPOINTS / artifact.parent.name


def _apart(what: str, artifact: Path, model: str | None = None, **environment: str) -> dict[str, Any]:
    """Call a function above in a process of its own, on an emulated CPU where a model is named."""
    emulator = [QEMU, "-cpu", model] if model else []
    command = [*emulator, sys.executable, "-m", "tests.benchmarks.half_precision", what, str(artifact)]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def rows(family: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what was found for a family, a line each."""
    asked = ExportOptions(str(CHECKPOINTS / f"{family}-digits"), folder, ("executorch",), ("fp16",))
    (done,) = export(asked, Progress(quiet=True)).artifacts
    artifact = done.manifest.folder
    ours = torch.backends.cpu.get_cpu_capability().lower()
    for capability, isa in CAPABILITIES.items():
        yield (
            f"yardstick, {capability}",
            _apart("yardstick", artifact, ATEN_CPU_CAPABILITY=capability, ONEDNN_MAX_CPU_ISA=isa),
        )
        if capability == ours:
            break
    models = [None, *(MODELS if shutil.which(QEMU) else ())]
    files = {"file": artifact, **({kind: worse(artifact, kind) for kind in WORSE} if family == "mobilevitv2" else {})}
    for name, path in files.items():
        for model in models:
            yield f"{name}, {model or 'this CPU'}", _apart("verified", path, model)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("yardstick", "verified"), help=argparse.SUPPRESS)
    parser.add_argument("artifact", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what:
        print(json.dumps({"yardstick": yardstick, "verified": verified}[options.what](options.artifact)))
        return
    print("| family | | probabilities, dB | logits, dB | verdict |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for family in shipped_families():
            for name, found in rows(family, Path(folder)):
                figures = " | ".join(f"{found[output]:.2f}" for output in ("probabilities", "logits"))
                verdict = (found["failure"] or "passed") if "failure" in found else ""
                print(f"| {family} | {name} | {figures} | {verdict} |", flush=True)


if __name__ == "__main__":
    main()
