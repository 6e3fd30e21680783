"""Train the small segmenter of scenes of digits: `python -m sample_apps.checkpoints.train_scenes --out DIR`."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.optim.swa_utils import update_bn
from transformers import (
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    BaseImageProcessor,
    MobileViTV2Config,
    MobileViTV2ForImageClassification,
    MobileViTV2ForSemanticSegmentation,
)

from mobile_kit.measurements.metrics import mean_iou
from sample_apps.checkpoints.card import write_scenes_card
from sample_apps.checkpoints.scenes import CLASSES, held_out_scenes, training_scenes
from sample_apps.checkpoints.train import initialise

__all__ = ["evaluate", "train"]

CLASSIFIER = Path(__file__).with_name("mobilevitv2-digits")
BATCH_SIZE, SCENES, PEAK_RATE, WEIGHT_DECAY = 32, 1438, 2e-3, 0.02
# Scenes of every held-out digit, with a seed apart from those of training, which are numbers of epochs.
HELD_OUT, HELD_OUT_SEED = 359, 10_000


def train(epochs: int, seed: int) -> tuple[MobileViTV2ForSemanticSegmentation, BaseImageProcessor]:
    """Train the head from nothing and the classifier's backbone on; the same seed gives the same model."""
    torch.manual_seed(seed)
    processor = AutoImageProcessor.from_pretrained(CLASSIFIER)
    model = _model()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-SCENES // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, steps, pct_start=0.2)
    for epoch in range(1, epochs + 1):
        start, losses = time.perf_counter(), []
        for pixels, masks in _batches(processor, epoch):
            loss = F.cross_entropy(_scores(model.train(), pixels), masks)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}, {time.perf_counter() - start:.1f} s", flush=True)
    # The running statistics trail the weights; the shipped ones are those of the final weights.
    update_bn((pixels for pixels, _ in _batches(processor, 0)), model)
    return model.eval(), processor


def _model() -> MobileViTV2ForSemanticSegmentation:
    classifier = MobileViTV2ForImageClassification.from_pretrained(CLASSIFIER)
    names = dict(enumerate(CLASSES))
    changes = {
        "output_stride": 8,
        "aspp_out_channels": 64,
        "atrous_rates": [2, 4, 6],
        "aspp_dropout_prob": 0.0,
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
    }
    config = MobileViTV2Config.from_dict({**classifier.config.to_dict(), **changes})
    model = MobileViTV2ForSemanticSegmentation(config)
    initialise(model)
    learnt = model.mobilevitv2.load_state_dict(classifier.mobilevitv2.state_dict(), strict=False)
    assert not learnt.missing_keys, learnt
    return model.to(memory_format=torch.channels_last)


def _scores(model: MobileViTV2ForSemanticSegmentation, pixels: Tensor) -> Tensor:
    """(N, 3, H, W) to (N, classes, H, W), enlarged as the kit's class maps are."""
    logits = model(pixels).logits
    return F.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False)


def _batches(processor: BaseImageProcessor, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield new scenes. Yields: (N, 3, H, W) float32 as processed, (N, H, W) int64."""
    scenes = list(training_scenes(SCENES, epoch))
    for indices in torch.randperm(len(scenes)).split(BATCH_SIZE):
        batch = [scenes[index] for index in indices.tolist()]
        pixels = processor(images=[image for image, _ in batch], return_tensors="pt")["pixel_values"]
        masks = torch.from_numpy(np.stack([mask for _, mask in batch])).long()
        yield pixels.contiguous(memory_format=torch.channels_last), masks


@torch.no_grad()
def evaluate(folder: Path, count: int = HELD_OUT) -> float:
    """Return the mean intersection over union of a saved segmenter on scenes of digits it has never seen."""
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    found, wanted = [], []
    for image, mask in held_out_scenes(count, HELD_OUT_SEED):
        pixels = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
        found.append(_scores(model, pixels).argmax(1)[0].numpy())
        wanted.append(mask)
    return mean_iou(np.stack(found), np.stack(wanted))


def main() -> None:
    """Train, save, measure what was saved, and write its card."""
    parser = argparse.ArgumentParser(description="Train a small segmenter of coloured digits.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, processor = train(arguments.epochs, arguments.seed)
    model.save_pretrained(arguments.out)
    processor.save_pretrained(arguments.out)
    print(f"trained in {time.process_time() / 60:.1f} CPU minutes")
    iou = evaluate(arguments.out)
    print(f"{HELD_OUT} held-out scenes: mean IoU {iou:.2%}")
    write_scenes_card(arguments.out, model, arguments.epochs, iou, HELD_OUT)


if __name__ == "__main__":
    main()
