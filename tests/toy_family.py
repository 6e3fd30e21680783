"""A family of another package, written as the README's "Add a family" has it: ResNet's stem and a classifier."""

from typing import Any

from torch import Tensor, nn

from mobile_kit.models.family import Family, Head, labels_of
from mobile_kit.models.layers import fold_batch_norm, linear
from mobile_kit.models.spec import CommonModel, ModelSpec, TensorSpec


class Toy(CommonModel):
    """A ResNet of one basic layer a stage, without shortcuts."""

    def __init__(self, spec: ModelSpec, model: Any) -> None:
        super().__init__(spec)
        embedder = model.resnet.embedder
        self.convolution = fold_batch_norm(embedder.embedder.convolution, embedder.embedder.normalization)
        self.pool = embedder.pooler
        self.stages = nn.ModuleList(Stage(stage.layers[0]) for stage in model.resnet.encoder.stages)
        self.classifier = linear(model.classifier[1])

    @property
    def stem(self) -> nn.Conv2d:
        """The first convolution that reads the image."""
        return self.convolution

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pixel_values (1, C, H, W) to logits (1, K)."""
        x = self.pool(self.convolution(inputs[0]).relu())
        for stage in self.stages:
            x = stage(x)
        return (self.classifier(x.mean((2, 3))),)


class Stage(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        first, second = layer.layer
        self.first = fold_batch_norm(first.convolution, first.normalization)
        self.second = fold_batch_norm(second.convolution, second.normalization)
        shortcut = layer.shortcut
        convolves = hasattr(shortcut, "convolution")
        self.shortcut = fold_batch_norm(shortcut.convolution, shortcut.normalization) if convolves else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) to (1, C', H', W')."""
        return (self.second(self.first(x).relu()) + self.shortcut(x)).relu()


def build(model: Any, head: str, image_size: tuple[int, int], outputs: tuple[str, ...]) -> Toy:
    """Return the common model of a ResNet."""
    config = model.config
    spec = ModelSpec(
        family="toy",
        head=head,
        image_size=image_size,
        num_channels=config.num_channels,
        num_labels=config.num_labels,
        num_parameters=sum(p.numel() for p in model.parameters()),
        inputs=(TensorSpec("pixel_values", (1, config.num_channels, *image_size), "float32", "NCHW", "pixel_values"),),
        outputs=(TensorSpec("logits", (1, config.num_labels), "float32", "NK", "logits"),),
        labels=labels_of(config),
    )
    return Toy(spec, model).eval()


FAMILY = Family(
    name="toy",
    model_type="resnet",
    heads={"classification": Head("classification", "ResNetForImageClassification", ("logits",))},
    build=build,
)
