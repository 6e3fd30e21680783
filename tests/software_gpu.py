"""Run a .tflite on LiteRT's GPU engine without a GPU: over lavapipe, Mesa's Vulkan on the CPU.

The engine is the one of phones and computes in float16, as there. What it takes and how exact it is holds for a phone;
how long it takes does not. Nothing is installed: packages are unpacked into the user's cache, 60 MB to download, and
only the child process that runs a file knows of them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.packages import PackageError, archives, kept, unpack

Array = NDArray[Any]
NAME = "a software Vulkan"
# The driver of bookworm itself, Mesa 22.3, lacks what the engine's front end asks for.
SUITES = ("bookworm", "bookworm-backports")
NEWER = ("libdrm-amdgpu1", "libdrm-common", "libdrm2", "mesa-vulkan-drivers")
PACKAGES = ("libvulkan1", *(f"{name}/{SUITES[1]}" for name in NEWER))
# apt and the shell need these: the machine has its own, perhaps newer ones, which ours must not hide from Python.
PRESENT = ("gcc-12-base", "libc6", "libgcc-s1", "liblzma5", "libstdc++6", "libtinfo6", "libzstd1", "zlib1g")
LIBRARIES, DRIVER, MANIFEST = "root/usr/lib/x86_64-linux-gnu", "libvulkan_lvp.so", "lavapipe.json"
UNWANTED = ("--exclude=./usr/share", "--exclude=./usr/lib/x86_64-linux-gnu/libvulkan_[!l]*")  # other drivers
# Nearly all of a run is LLVM compiling shaders: without its optimizer, and for narrow vectors, a third of the time, and
# the same outputs.
COMPILE_FAST = {"GALLIVM_PERF": "nopt", "LP_NATIVE_VECTOR_WIDTH": "128"}
# Of the API that this Mesa's lavapipe implements; the loader hides newer entry points from a driver that says less.
API_VERSION = "1.4.305"
# The engine itself gives up 120 s after it has begun: "Failed to lock custom tensor buffer".
TIMEOUT_S = 180
ROOT = Path(__file__).parents[1]


class EngineError(Exception):
    """The engine refuses a file, crashes or does not come back; the message is one line that says so."""


@dataclass(frozen=True)
class EngineRun:
    """What the engine computed. accelerated: whether it took every operation. outputs: (N, ...) by name."""

    accelerated: bool
    outputs: Mapping[str, Array]


def vulkan() -> Path:
    """Return the folder of the unpacked packages. Raises: PackageError where they can't be had."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PackageError(f"{NAME} is for Linux on x86-64")
    return kept("software-vulkan", (SUITES, PACKAGES, PRESENT, UNWANTED), _build)


def _build(folder: Path) -> None:
    root = folder / "root"
    with archives(folder.parent, SUITES, PACKAGES, dependencies=True) as found:
        for archive in found:
            if archive.name.partition("_")[0] not in PRESENT:
                unpack(archive, root, *UNWANTED)
    if not (folder / LIBRARIES / DRIVER).is_file():
        raise PackageError(f"{NAME}: mesa-vulkan-drivers has no {DRIVER}")


def run(path: Path, inputs: Mapping[str, Array], *, float32: bool = False, timeout_s: float = TIMEOUT_S) -> EngineRun:
    """Run a file on the engine, once for each sample.

    inputs: (N, ...) by name, each sample of the shape that the file takes. float32: compute in float32.
    Raises: EngineError where the engine refuses the file, crashes or takes too long; PackageError.
    """
    vulkan_folder = vulkan()
    with tempfile.TemporaryDirectory() as private:
        folder = Path(private)
        arrays: dict[str, Any] = dict(inputs)
        np.savez(folder / "inputs.npz", **arrays)
        command = [sys.executable, "-m", "tests.software_gpu", str(path.resolve()), private]
        try:
            done = subprocess.run(
                [*command, "--float32"] if float32 else command,
                cwd=ROOT,
                env=_environment(vulkan_folder, folder),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as exc:
            raise EngineError(f"{path.name}: the engine took more than {timeout_s:g} s") from exc
        if done.returncode:
            raise EngineError(f"{path.name}: {_reason(done)}")
        accelerated = bool(json.loads((folder / "accelerated.json").read_text()))
        with np.load(folder / "outputs.npz") as outputs:
            return EngineRun(accelerated, dict(outputs))


def _environment(vulkan_folder: Path, folder: Path) -> dict[str, str]:
    """Return the environment of a child that finds the driver. folder: private to the child."""
    libraries = vulkan_folder / LIBRARIES
    # Debian's own manifest names the library's path on a machine where it is installed.
    manifest = folder / MANIFEST
    driver = {"library_path": str(libraries / DRIVER), "api_version": API_VERSION}
    manifest.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": driver}))
    searched = [str(libraries), str(vulkan_folder / "root/lib/x86_64-linux-gnu"), os.environ.get("LD_LIBRARY_PATH")]
    return {
        **os.environ,
        **COMPILE_FAST,
        "LD_LIBRARY_PATH": ":".join(filter(None, searched)),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "VK_DRIVER_FILES": str(manifest),
        "VK_ICD_FILENAMES": str(manifest),  # the same for a loader older than 1.3.207
        "XDG_RUNTIME_DIR": str(folder),
    }


def _reason(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the first error in the child's log: the engine's own stands long before Python's exception."""
    if done.returncode < 0:
        return f"the engine crashed with signal {-done.returncode}"
    said = [line.split("ERROR: ", 1)[1] for line in done.stderr.splitlines() if "ERROR: " in line]
    reasons = [line for line in said if not line.startswith("[")]  # else the place in LiteRT's source
    return next(iter(reasons or said), f"the engine ended with {done.returncode}")


def main() -> None:
    """Run a file in this process: the child of `run`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--float32", action="store_true")
    chosen = parser.parse_args()
    with np.load(chosen.folder / "inputs.npz") as inputs:
        accelerated, outputs = _run_here(chosen.model, dict(inputs), chosen.float32)
    np.savez(chosen.folder / "outputs.npz", **outputs)
    (chosen.folder / "accelerated.json").write_text(json.dumps(accelerated))


def _run_here(model: str, inputs: Mapping[str, Array], float32: bool) -> tuple[bool, dict[str, Any]]:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import GpuOptions, Options

    precision = GpuOptions(enforce_f32=float32)
    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=precision)
    compiled = CompiledModel.from_file(model, options=options)
    ((key, signature),) = compiled.get_signature_list().items()
    details = compiled.get_output_tensor_details(key)
    given, computed = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    found: dict[str, list[Array]] = {name: [] for name in signature["outputs"]}
    for number in range(len(next(iter(inputs.values())))):
        for name, buffer in zip(signature["inputs"], given, strict=True):
            buffer.write(np.ascontiguousarray(inputs[name][number]))
        compiled.run_by_index(0, given, computed)
        for name, buffer in zip(signature["outputs"], computed, strict=True):
            shape, dtype = details[name]["shape"], np.dtype(details[name]["dtype"])
            found[name].append(buffer.read(int(np.prod(shape)), dtype.type).reshape(shape))
    return compiled.is_fully_accelerated(), {name: np.stack(samples) for name, samples in found.items()}


if __name__ == "__main__":
    main()
