"""Train one small classifier of digits and save it as a Hugging Face folder: `python -m ...train --out DIR`."""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from transformers import AutoModelForImageClassification, PreTrainedModel

from sample_apps.checkpoints.card import write_card
from sample_apps.checkpoints.digits import SIZE_PX, training_scans, training_views
from sample_apps.checkpoints.evaluate import evaluate
from sample_apps.checkpoints.recipes import RECIPES, Recipe, Stage

__all__ = ["initialise", "train"]

_MAX_GRADIENT_NORM = 1.0
_WARM_UP = 0.2


def train(recipe: Recipe, seed: int) -> PreTrainedModel:
    """Train from scratch. The same seed gives the same model on the same machine with as many threads."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForImageClassification.from_config(recipe.config)
    initialise(model)
    # Depthwise convolutions and their gradients are up to twice as fast so on a CPU.
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay))
    steps = recipe.epochs * -(-len(training_scans()) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, steps, pct_start=_WARM_UP)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    stages = [stage for stage in recipe.stages for _ in range(stage.epochs)]
    for epoch, stage in enumerate(stages, start=1):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        hits = _train_epoch(model.train(), optimizer, schedule, loss_of, _batches(recipe, epoch, stage))
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        share = hits / len(training_scans())
        print(f"epoch {epoch} at {stage.size_px} px: {share:.1%} right, {wall_s:.1f} s, {cpu_s:.1f} CPU s", flush=True)
    # The running statistics trail the weights; the shipped ones are those of the final weights.
    update_bn((pixels for pixels, _ in _batches(recipe, 0, stages[-1])), model)
    return model.eval()


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Draw weights that keep the variance.

    With Hugging Face's own initialisation the logits of MobileViTV2 are 0 for every image.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            module.reset_parameters()
    for name, parameter in model.named_parameters():
        if name.endswith("position_embeddings"):
            parameter.copy_(_sine_positions(parameter.shape[1], parameter.shape[2]))


def _sine_positions(tokens: int, width: int) -> Tensor:
    """Return (1, tokens, width) sines and cosines of a square's columns and rows, of a class token before it zeros.

    Learnt from nothing, positions take longer than all the rest. Source: "Masked Autoencoders Are Scalable Vision
    Learners", He et al., 2021, appendix A.1.
    """
    side = math.isqrt(tokens)
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side)[:, None] * frequencies
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    square = torch.cat([line.repeat(side, 1), line.repeat_interleave(side, 0)], dim=1)
    return torch.cat([torch.zeros(tokens - side**2, width), square])[None]


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Spare biases and the scales of norms from weight decay."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _batches(recipe: Recipe, epoch: int, stage: Stage) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one new view of every training scan, shuffled. Yields: (N, 3, H, W) float32 as processed, (N,) int64.

    The last stage's views go through the processor as any photo will; earlier ones are drawn at their stage's size.
    """
    last = stage == recipe.stages[-1]
    views = list(training_views(len(training_scans()), epoch, SIZE_PX if last else stage.size_px))
    geometry: dict[str, Any] = {} if last else {"do_resize": False, "do_center_crop": False}
    for indices in torch.randperm(len(views)).split(recipe.batch_size):
        batch = [views[index] for index in indices.tolist()]
        inputs = recipe.processor(images=[image for image, _ in batch], **geometry, return_tensors="pt")
        pixels = inputs["pixel_values"].contiguous(memory_format=torch.channels_last)
        yield pixels, torch.tensor([label for _, label in batch])


def _train_epoch(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    loss_of: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
) -> int:
    """Take a step a batch. Returns: how many views were classified rightly before their step."""
    hits = 0
    for pixels, labels in batches:
        logits = model(pixels).logits
        optimizer.zero_grad()
        loss_of(logits, labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        hits += int((logits.argmax(-1) == labels).sum())
    return hits


def main() -> None:
    """Train, save, measure what was saved, and write its card."""
    parser = argparse.ArgumentParser(description="Train a small classifier of coloured digits.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--family", choices=RECIPES, default="mobilevitv2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = RECIPES[arguments.family]
    model = train(recipe, arguments.seed)
    model.save_pretrained(arguments.out)
    recipe.processor.save_pretrained(arguments.out)
    print(f"trained in {time.process_time() / 60:.1f} CPU minutes")
    accuracy = evaluate(arguments.out)
    print(accuracy)
    write_card(arguments.out, model, recipe, accuracy)


if __name__ == "__main__":
    main()
