"""Write a small CvT checkpoint as TensorFlow's own class of transformers 4 does, and what it computes.

Transformers 5 has no TensorFlow classes, so this runs in an environment of its own (Python 3.11; made with
tensorflow-cpu 2.16.2, tf-keras 2.16.0, transformers 4.46.3, numpy 1.26.4, h5py 3.16.0):

    python -m venv tf
    tf/bin/pip install tensorflow-cpu==2.16.2 tf-keras==2.16.0 transformers==4.46.3 "numpy<2"
    tf/bin/python tests/mobile_kit/checkpoints/data/tf_cvt/make.py

It writes beside itself tf_model.h5, config.json, preprocessor_config.json, and expected.npz: pixel_values
(2, 3, 32, 32) and TensorFlow's logits, last_hidden_state and cls_token_value for them, all float32.
"""

import os
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from transformers import ConvNextImageProcessor, CvtConfig, TFCvtForImageClassification

FOLDER = Path(__file__).resolve().parent
SIZE_PX = 32
# Transformers 4 asks its TensorFlow models for an image_size, which CvT has no use for. A stage's depth must be greater
# than its number: transformers 4 and 5 fail otherwise.
CONFIG = {
    "image_size": SIZE_PX,
    "embed_dim": [4, 8, 12],
    "num_heads": [1, 2, 3],
    "depth": [1, 2, 3],
    "mlp_ratio": [2.0, 2.0, 2.0],
}
LABELS = ("apple", "birch", "cedar", "daisy", "elder")


def drawn(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Draw a variable so that every one of them counts in the logits."""
    kind = name.split("/")[-1].split(":")[0]
    if kind == "kernel":  # the last axis is the outputs'
        return generator.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
    if kind == "gamma":
        return generator.normal(1, 0.1, shape)
    if kind == "moving_variance":  # of depthwise convolutions of normed tokens
        return generator.uniform(0.5, 1.5, shape)
    return generator.normal(0, 0.5 if kind.endswith("cls_token") else 0.2, shape)


def main() -> None:
    """Write the checkpoint and its outputs."""
    generator = np.random.default_rng(0)
    model = TFCvtForImageClassification(CvtConfig(**CONFIG, id2label=dict(enumerate(LABELS))))
    pixel_values = generator.normal(0, 1, (2, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
    model(tf.constant(pixel_values))  # builds what save_pretrained's own dummy inputs don't reach
    for variable in model.variables:
        variable.assign(drawn(variable.name, tuple(variable.shape), generator))
    model.save_pretrained(FOLDER)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    processor = ConvNextImageProcessor(
        size={"shortest_edge": SIZE_PX}, crop_pct=0.875, resample=3, image_mean=mean, image_std=std
    )
    processor.save_pretrained(FOLDER)
    base = model.cvt(tf.constant(pixel_values))
    np.savez_compressed(
        FOLDER / "expected.npz",
        pixel_values=pixel_values,
        logits=model(tf.constant(pixel_values)).logits.numpy(),
        last_hidden_state=base.last_hidden_state.numpy(),
        cls_token_value=base.cls_token_value.numpy(),
    )


if __name__ == "__main__":
    main()
