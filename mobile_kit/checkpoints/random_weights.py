"""Random weights on which a comparison proves something.

With Hugging Face's default initialisation a MobileViTV2's logits don't depend on the image. Weights of standard
deviation 1/sqrt(fan_in) carry the signal through, and batch norm needs statistics of images it will see.
"""

import numpy as np
import torch
from torch import nn

from mobile_kit.preprocessing.preprocess import Preprocess
from mobile_kit.preprocessing.synthetic_images import scene

__all__ = ["randomize"]

IMAGES = 8


@torch.no_grad()
def randomize(model: nn.Module, preprocess: Preprocess, seed: int = 0) -> None:
    """Fill a model's weights in place, the same for the same seed, and set its batch-norm statistics from scenes.

    Matrices and kernels are normal with standard deviation 1/sqrt(fan_in); tokens and position embeddings have 0.5; a
    norm's gain is 1 +- 0.1; other vectors have a standard deviation of 0.1.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = {id(m.weight) for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)}
    for parameter in model.parameters():
        mean, std = (1.0, 0.1) if id(parameter) in norms else (0.0, 0.1)
        if parameter.dim() == 3:  # tokens and position embeddings, (1, T, D), beside patches of variance 1
            std = 0.5
        elif parameter.dim() > 1:
            std = parameter[0].numel() ** -0.5
        parameter.normal_(mean, std, generator=generator)
    _set_batch_norms(model, preprocess, seed)


def _set_batch_norms(model: nn.Module, preprocess: Preprocess, seed: int) -> None:
    batch_norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not batch_norms:
        return
    height, width = preprocess.image_size
    images = [scene(1000 + seed * IMAGES + i, height, width, preprocess.channels) for i in range(IMAGES)]
    model.eval()
    for module in batch_norms:
        module.reset_running_stats()
        module.momentum = None  # a plain average over the passes
        module.train()
    model(torch.from_numpy(np.concatenate([preprocess.arithmetic(image) for image in images])))
    model.eval()
