"""Whether the comparison's verdict can be trusted: a file against its copy, and against one that is 10 % faster."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import ViTImageProcessor, ViTMSNConfig, ViTMSNForImageClassification

from mobile_kit.checkpoints.load import load
from mobile_kit.checkpoints.random_weights import randomize
from mobile_kit.measurements.comparison import compare
from mobile_kit.measurements.result import Result
from mobile_kit.profiling.options import ProfileOptions
from mobile_kit.profiling.profile import profile
from mobile_kit.progress import Progress
from tests.benchmarks.process import Workshop
from tests.benchmarks.table import Section, judged

__all__ = ["measure"]

# Layers of the file and of the one that is a tenth faster, as nearly all of its time is spent in them.
LAYERS, FEWER = 12, 11
# Right verdicts of all.
BOUND = 19 / 20


def measure(shop: Workshop, rounds: int) -> Section:
    """Profile a file, its copy and a faster one in turns, and compare them, again and again."""
    folders = [_folder(shop, LAYERS), _folder(shop, FEWER)]
    copy = Path(shutil.copytree(folders[0], folders[0].with_name("copy")))
    found: dict[str, Counter[str]] = {"its copy": Counter(), "a faster one": Counter()}
    ratios: dict[str, list[float]] = {name: [] for name in found}
    recorded = []
    for _ in range(rounds):
        options = ProfileOptions(threads=shop.threads, loads=0, traced=0)
        ours, same, faster = profile([folders[0], copy, folders[1]], options, Progress(quiet=True))
        for name, other in (("its copy", same), ("a faster one", faster)):
            verdict, ratio = _verdict(other, ours)
            found[name][verdict] += 1
            ratios[name].append(ratio)
        recorded.append({"file": _samples(ours), "its copy": _samples(same), "a faster one": _samples(faster)})
    wanted = {"its copy": "no difference", "a faster one": "faster"}
    rows = [_row(name, found[name], wanted[name], ratios[name]) for name in found]
    notes = [f"ViTMSN of {LAYERS} and {FEWER} layers, .tflite, fp32, {rounds} tries; three files in turns in each."]
    return Section("verdict", "The comparison's verdicts", rows, notes, {"recorded": recorded})


def _samples(result: Result) -> list[list[int]]:
    """Return the microseconds of every block's calls."""
    return [[round(us) for us in block] for block in result.latency.samples]


def _verdict(theirs: Result, ours: Result) -> tuple[str, float]:
    found = compare(theirs.latency, ours.latency, paired=True)
    assert found is not None, (theirs.validity.reasons, ours.validity.reasons)
    return found.verdict, found.ratio


def _row(name: str, found: Mapping[str, int], wanted: str, ratios: list[float]) -> dict[str, Any]:
    tries = sum(found.values())
    right = found.get(wanted, 0) / tries
    return {
        "against": name,
        "right verdict": wanted,
        "right": f"{found.get(wanted, 0)} of {tries}",
        "least ratio": min(ratios),
        "greatest ratio": max(ratios),
        **judged(right, at_least=BOUND),
    }


def _folder(shop: Workshop, layers: int) -> Path:
    config = ViTMSNConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, num_hidden_layers=layers, image_size=128
    )
    source = shop.scratch / f"vit-{layers}"
    ViTMSNForImageClassification(config).save_pretrained(source)
    ViTImageProcessor(size={"height": 128, "width": 128}).save_pretrained(source)
    checkpoint = load(str(source))
    randomize(checkpoint.model, checkpoint.preprocess)
    checkpoint.model.save_pretrained(source)
    (folder,) = shop.export(f"{source.name}-files", source, "--target", "tflite")
    return folder
