"""What a network consists of, so that a recipe can say which of it stays in float.

An operation belongs to a part by the module that computes it: a kind (norms, linear layers, ...) and a block, which is
one of the modules that the network is a chain of. Both have the same names on every target.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mobile_kit.models.spec import CommonModel

__all__ = ["FIRST", "KINDS", "LAST", "LAYERS", "OTHER", "FloatPart", "Part", "Work", "parts_of", "work_of"]

# Kinds by torch's own classes; the building blocks of `layers` and of the families name their kind themselves.
TORCH_KINDS: tuple[tuple[type[nn.Module], str], ...] = ((nn.Conv2d, "convolutions"), (nn.Linear, "linear layers"))
ACTIVATIONS = nn.SiLU.__module__
KINDS = (
    "convolutions",
    "linear layers",
    "activations",
    "residual adds",
    "attention products",
    "softmax",
    "norms",
    "other",
    "always float",
)
OTHER = "other"
LAYERS = ("convolutions", "linear layers")
FIRST, LAST = "first layer", "last layer"


@dataclass(frozen=True)
class Part:
    """Where an operation is: its kind, one of `KINDS`, and its block, empty outside any.

    end: `first layer` for the one that reads the image, `last layer` for the one that gives the first output.
    """

    kind: str
    block: str
    end: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called, from the widest set of operations to the narrowest."""
        block = (self.block,) if self.block else ()
        where = f"of {self.block}" if self.block else "outside blocks"
        return (self.kind, *block, self.end or f"{self.kind} {where}")

    def among(self, names: Collection[str]) -> bool:
        """Whether any of its names is among some."""
        return any(name in names for name in self.names)


@dataclass
class Work:
    """What a part computes for an image.

    macs: multiply-accumulates of its convolutions and linear layers. values: how many its other modules give.
    """

    macs: int = 0
    values: int = 0


def work_of(model: CommonModel) -> dict[Part, Work]:
    """Run a model once and return the work of each of its parts."""
    parts, found = parts_of(model), dict[Part, Work]()

    def count(part: Part) -> Callable[[nn.Module, Any, Any], None]:
        work = found.setdefault(part, Work())

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(module, nn.Conv2d):
                work.macs += output.numel() * module.weight[0].numel()
            elif isinstance(module, nn.Linear):
                work.macs += output.numel() * module.in_features
            elif isinstance(output, Tensor):
                work.values += output.numel()

        return hook

    # What a module of a kind of its own computes beside its children, too.
    working = [(p, m) for p, m in model.named_modules() if "part" in dir(m) or not list(m.children())]
    hooks = [m.register_forward_hook(count(parts[p])) for p, m in working if not isinstance(m, nn.Identity)]
    with torch.no_grad():
        model(*(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in model.spec.inputs))
    for hook in hooks:
        hook.remove()
    return found


def parts_of(model: CommonModel) -> dict[str, Part]:
    """Return the part of every module of a model, by the module's path."""
    modules = dict(model.named_modules())
    layers = [path for path, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)]
    ends = {path: FIRST for path, module in modules.items() if module is model.stem}
    ends.setdefault(layers[-1], LAST)
    return {path: Part(_kind(modules, path), _block(modules, path), ends.get(path)) for path in modules}


def _kind(modules: dict[str, nn.Module], path: str) -> str:
    """Return the kind of the innermost module around a path that has one."""
    for outer in _outwards(path):
        module = modules[outer]
        found = getattr(module, "part", None) or next((k for t, k in TORCH_KINDS if isinstance(module, t)), None)
        if found is None and type(module).__module__ == ACTIVATIONS:
            found = "activations"
        if found is not None:
            return str(found)
    return OTHER


def _block(modules: dict[str, nn.Module], path: str) -> str:
    """Return the outermost numbered module around a path, such as `stages.2`."""
    chains = [outer for outer in _outwards(path) if outer.rpartition(".")[2].isdigit()]
    return ".".join(chains[-1].split(".")[-2:]) if chains else ""


def _outwards(path: str) -> Iterator[str]:
    """Yield a path and those of the modules around it."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


@dataclass(frozen=True)
class FloatPart:
    """A part of which a quantized file computes all or some in float, and the decibels that its return to int8 costs.

    part: a name as `parts.Part` has them. cost_db: None where no search decided it, or where outputs have no decibels.
    """

    part: str
    cost_db: float | None = None
