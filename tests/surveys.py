"""What a report shows, made up: results of artifacts, and whole surveys without any file."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mobile_kit.artifacts.layout import profile_name
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.measurements.comparison import compare
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.result import (
    Config,
    DeviceInfo,
    Load,
    Memory,
    ModelInfo,
    Op,
    Result,
    RunInfo,
    Validity,
    write_results,
)
from mobile_kit.profiling.validity import model_info, with_validity
from mobile_kit.reporting.summary import ArtifactResult, Row, Summary

HOST = DeviceInfo("host", "host", emulated=False, os="Linux", cores=8)
PHONE = DeviceInfo("adb:R5CT", "adb", emulated=False, model="Pixel 8", soc="Tensor G3", ram_bytes=8 * 10**9)
BOARD = DeviceInfo("ssh:board", "ssh", emulated=True, model="qemu board")
TARGETS = {"tflite": 1.0, "executorch-xnnpack": 1.2}
RECIPES = {"fp32": (1.0, 1.0, 112.0), "fp16": (0.9, 0.5, 62.0), "static_wi8_ai8": (0.4, 0.26, 28.0)}
# Of a call, to that of this machine; 70 times where a processor is emulated.
SPEED: dict[str, float] = {}
PARTS = ("attention.query", "attention.key", "attention.output", "mlp.expand", "mlp.reduce", "norm_before")


def profiled(
    artifact: Path,
    ms: float,
    run: str = "one",
    runs: int = 50,
    undisturbed: bool = True,
    device: DeviceInfo = HOST,
    single: bool = True,
) -> Result:
    """An artifact with a result of a device. single: whether its source gives single calls."""
    result = Result(
        run=RunInfo(run, "runner", "mobile-kit"),
        model=model_info(read_manifest(artifact)),
        device=device,
        config=Config(runs=50, min_s=0.1),
        latency=latency([[1e3 * ms] * 5] * (runs // 5)),
    )
    if not single:
        result = replace(result, latency=replace(result.latency, samples=()))
    result = with_validity(result, undisturbed=undisturbed)
    write_results([result], artifact / profile_name(device.name))
    return result


def quantized(artifact: Path, name: str = "static_wi8_ai8", **changes: object) -> Path:
    """A copy of an artifact that calls itself a smaller recipe's."""
    copy = Path(shutil.copytree(artifact, artifact.with_name(f"paper-{name}"), dirs_exist_ok=False))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["recipe"] |= {"name": name, "weight_bits": 8}
    (copy / "manifest.json").write_text(json.dumps(manifest | changes))
    return copy


def row(model: str, target: str, recipe: str, untimed: str | None = None, megabytes: float = 10.0) -> Row:
    """An artifact that passed."""
    _, small, noise = RECIPES[recipe]
    return Row(
        folder=f"{model}/{target}-{recipe}",
        model=model,
        target=target,
        recipe=recipe,
        status="passed",
        bytes=int(1e6 * megabytes * small),
        size_ratio=small,
        sqnr_db=noise,
        max_error=1e-5,
        images=None,
        metric=None,
        value=None,
        difference=None,
        interval=None,
        untimed=untimed,
    )


def result(
    each: Row, ms: float, device: DeviceInfo = HOST, *, calls: int = 80, seed: int = 0, reasons: tuple[str, ...] = ()
) -> Result:
    """What was measured of it on a device: in blocks of 5 calls that drift a little."""
    draw = random.Random(f"{each.folder}{device.name}{seed}")  # noqa: S311  no secret
    times = [1e3 * ms * (1 + 0.02 * draw.random() + (0.3 if draw.random() < 0.04 else 0)) for _ in range(calls)]
    return Result(
        run=RunInfo(f"run-{device.name}", "runner", "mobile-kit", "0.1.0", "2026-01-02T03:04:05+00:00"),
        model=ModelInfo(each.name, target=each.target, recipe=each.recipe, size_bytes=each.bytes),
        device=device,
        config=Config("XNNPACK", 2, runs=50, min_s=1.0, input="golden"),
        latency=latency([times[start : start + 5] for start in range(0, calls, 5)], first=times[0] * 3),
        load=Load(cold_us=41e3, warm_us=(8e3, 9e3)),
        memory=Memory(peak_bytes=180 * 10**6),
        ops=operations(ms),
        validity=Validity(enough_runs=not reasons, completed=True, reasons=reasons),
        env={"torch": "2.13.0"},
    )


def operations(ms: float, blocks: int = 6) -> tuple[Op, ...]:
    """Operations of a small transformer, which take all of its time."""
    places = [f"stages.{block // 2}.blocks.{block % 2}.{part}" for block in range(blocks) for part in PARTS]
    times = {place: number % 7 + (9.0 if "mlp" in place else 2.0) for number, place in enumerate(places)}
    total = sum(times.values())
    return tuple(
        Op(place, "LAYER_NORM" if "norm" in place else "FULLY_CONNECTED", mean_us=1e3 * ms * time / total, module=place)
        for place, time in times.items()
    )


def surveyed(models: Sequence[str], devices: Sequence[DeviceInfo] = (HOST,)) -> Summary:
    """Every model with two targets and three recipes on every device, compared as a survey does it."""
    rows, measured = [], []
    for place, model in enumerate(models):
        for target, slow in TARGETS.items():
            bases: dict[str, ArtifactResult] = {}
            for recipe, (quick, _, _) in RECIPES.items():
                each = row(model, target, recipe, megabytes=6.0 + 4 * place)
                rows.append(each)
                for device in devices:
                    ms = (5 + 4 * place) * slow * quick * (70 if device.emulated else SPEED.get(device.name, 1))
                    found = result(each, ms, device)
                    base = bases.setdefault(device.name, ArtifactResult(each, "profile-host.json", found))
                    ratio = None if device.emulated else compare(found.latency, base.result.latency, paired=True)
                    with_base = None if device.emulated else base.row
                    measured.append(ArtifactResult(each, "profile-host.json", found, with_base, ratio))
    return Summary(tuple(rows), tuple(measured))
