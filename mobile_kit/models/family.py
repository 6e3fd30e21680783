"""The model families: weights in, export-friendly module out.

A family is one file with a `FAMILY`, and one line in `BUILT_IN`. Others come in through the entry-point group
`mobile_kit.families`.
"""

import importlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from mobile_kit.errors import CheckpointError, UnsupportedError, shown
from mobile_kit.models.spec import Activation, CommonModel, ModelSpec, TensorSpec
from mobile_kit.plugins import plugins

__all__ = [
    "Broken",
    "Family",
    "Head",
    "Known",
    "activation_of",
    "broken_families",
    "describe",
    "families",
    "find_family",
    "known_checkpoints",
    "labels_of",
    "with_activation",
]

GROUP = "mobile_kit.families"
BUILT_IN: dict[str, str] = {
    "cvt": "mobile_kit.models.cvt:FAMILY",
    "hiera": "mobile_kit.models.hiera.family:FAMILY",
    "mobilevitv2": "mobile_kit.models.mobilevitv2:FAMILY",
    "vit_msn": "mobile_kit.models.vit_msn:FAMILY",
}


@dataclass(frozen=True)
class Head:
    """One task of a family.

    `architecture` is the transformers class. `outputs` are the names that a file has by default, `optional` those
    that `--outputs` can ask for; a name stands for all of its like (`hidden_states` for hidden_states_0 and so on).
    `absent` are names that one would expect, with the reason why there is no such output.
    """

    name: str
    architecture: str
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)


def _as_it_is(model: nn.Module, head: str, image_size: tuple[int, int]) -> nn.Module:
    return model


def _takes_all(config: Any, head: str) -> None:
    return None


def _no_options(head: str, tensors: Collection[str]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Known:
    """A published checkpoint: its head, and its configs as data."""

    name: str
    family: str
    head: str
    license: str | None
    config: dict[str, Any] = field(repr=False)
    processor: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Family:
    """What the pipeline needs to know of a family.

    `check(config, head)` raises UnsupportedError for a Hugging Face config of which no model could be made.
    `build(hf_model, head, image_size, outputs)` returns the common model, and raises UnsupportedError for an image
    size (height, width) that the config can't take. `at_size(hf_model, head, image_size)` returns Hugging Face's model
    for another image size than its config's, with the position embeddings resampled as `interpolate_pos_encoding`
    does it, and raises the same error; by default the model takes any size as it is. `fixed_size`: the positions are
    for the config's `image_size`, and no other one is taken unless it is asked for. `options(head, tensors)` returns
    further arguments of the architecture's constructor, by the names of the checkpoint's tensors. `surplus` are ends of
    names of tensors that a head may leave unread. `tensorflow(name, config)` returns the tensor's name of a variable in
    a tf_model.h5, both dotted; null where Hugging Face had no TensorFlow classes. `data` is the JSON file of the known
    checkpoints.
    """

    name: str
    model_type: str
    heads: Mapping[str, Head]
    build: Callable[[nn.Module, str, tuple[int, int], tuple[str, ...]], CommonModel] = field(repr=False)
    check: Callable[[Any, str], None] = field(default=_takes_all, repr=False)
    at_size: Callable[[nn.Module, str, tuple[int, int]], nn.Module] = field(default=_as_it_is, repr=False)
    fixed_size: bool = False
    options: Callable[[str, Collection[str]], dict[str, Any]] = field(default=_no_options, repr=False)
    surplus: tuple[str, ...] = ()
    tensorflow: Callable[[str, Any], str] | None = field(default=None, repr=False)
    data: Path | None = None

    def known(self) -> tuple[Known, ...]:
        """Return the published checkpoints of the family, sorted by name."""
        if self.data is None:
            return ()
        records = json.loads(self.data.read_text(encoding="utf-8"))
        return tuple(
            Known(name, self.name, r["head"], r["license"], r["config"], r["processor"])
            for name, r in sorted(records.items())
        )


@dataclass(frozen=True)
class Broken:
    """A family of an installed package that can't be used. model_type: that it asks for, None where it isn't known."""

    name: str
    reason: str
    model_type: str | None = None


def families() -> dict[str, Family]:
    """Return all families by name: the built-in ones and those of installed packages, but for `broken_families`."""
    return _found()[0]


def broken_families() -> list[Broken]:
    """Return the families of installed packages that can't be used."""
    return _found()[1]


def find_family(model_type: str) -> Family | None:
    """Return the family of a Hugging Face config, None where there is none.

    Raises: UnsupportedError where another package brings one of the same model type, which can't be used.
    """
    found, broken = _found()
    for each in broken:
        if each.model_type == model_type:
            raise UnsupportedError(each.reason)
    return next((member for member in found.values() if member.model_type == model_type), None)


def _found() -> tuple[dict[str, Family], list[Broken]]:
    found, broken = {name: _load(path) for name, path in BUILT_IN.items()}, []
    for plugin in plugins(GROUP):
        try:
            member = plugin.load("family", Family)
        except UnsupportedError as exc:
            broken.append(Broken(plugin.name, str(exc)))
            continue
        if any(member.name == other.name or member.model_type == other.model_type for other in found.values()):
            reason = (
                f"family {member.name!r} of {plugin.package}: there is one of its name or model_type "
                f"{member.model_type!r} already. Uninstall that package, or rename the family."
            )
            broken.append(Broken(plugin.name, reason, member.model_type))
        else:
            found[member.name] = member
    return dict(sorted(found.items())), broken


def known_checkpoints() -> dict[str, Known]:
    """Return the published checkpoints of all families by name."""
    return {known.name: known for member in families().values() for known in member.known()}


def describe(
    family: str,
    head: str,
    model: Any,
    image_size: tuple[int, int],
    outputs: Iterable[TensorSpec],
    further: Iterable[TensorSpec] = (),
) -> ModelSpec:
    """Return the spec of a Hugging Face model's common model.

    image_size: (height, width) in pixels. further: the inputs behind `pixel_values`. Only a model with an output of
    meaning `logits` has classes, and labels.
    """
    config, outputs = model.config, tuple(outputs)
    classifies = any(out.meaning == "logits" for out in outputs)
    pixels = TensorSpec("pixel_values", (1, config.num_channels, *image_size), "float32", "NCHW", "pixel_values")
    spec = ModelSpec(
        family=family,
        head=head,
        image_size=image_size,
        num_channels=config.num_channels,
        num_labels=config.num_labels or None if classifies else None,
        num_parameters=sum(p.numel() for p in model.parameters()),
        inputs=(pixels, *further),
        outputs=outputs,
        labels=labels_of(config) if classifies else None,
    )
    return with_activation(spec, config)


def with_activation(spec: ModelSpec, config: Any) -> ModelSpec:
    """Return the spec of a classifier with what makes scores of its logits, as its Hugging Face config has it.

    A regression's logits become values. Any other spec, and one that says it itself, stays as it is.
    """
    classifies = spec.head == "classification" and any(out.meaning == "logits" for out in spec.outputs)
    if spec.activation is not None or not classifies:
        return spec
    activation = activation_of(config)
    if activation != "none":
        return replace(spec, activation=activation)
    outputs = tuple(replace(out, meaning="values") if out.meaning == "logits" else out for out in spec.outputs)
    return replace(spec, activation=activation, outputs=outputs)


def activation_of(config: Any) -> Activation | None:
    """Return what makes scores of the logits of a Hugging Face classifier; None where it has no classes.

    Source: transformers.pipelines.image_classification, `postprocess`.
    """
    if not config.num_labels:
        return None
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def labels_of(config: Any) -> tuple[str, ...] | None:
    """Return the class names of a Hugging Face config, each different from the others; None where it has no classes.

    ImageNet's names hold `crane` twice, and Core ML's dictionary of probabilities holds a name once: the second ones
    get their number.
    Raises: CheckpointError for a name that isn't text in one line.
    """
    # A gap in the numbers gets the name that Hugging Face gives where there are no labels at all.
    names = [config.id2label.get(i, f"LABEL_{i}") for i in range(config.num_labels)]
    for index, name in enumerate(names):
        if not isinstance(name, str) or name.splitlines() not in ([], [name]):
            raise CheckpointError(f"label {index} {shown(name)}: isn't a line of text. Mend id2label in config.json.")
    distinct: dict[str, None] = {}  # in order
    given = set(names)
    for index, name in enumerate(names):
        own = name
        while own in distinct or (own != name and own in given):
            own = f"{own} ({index})"
        distinct[own] = None
    return tuple(distinct) or None


def _load(path: str) -> Family:
    module, _, attribute = path.partition(":")
    member: Family = getattr(importlib.import_module(module), attribute)
    return member
