"""The model families: weights in, export-friendly module out.

A family is one file with a `FAMILY`, and one line in `BUILT_IN`. Others come in through the entry-point group
`mobile_kit.families`.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from mobile_kit.errors import unknown
from mobile_kit.spec import CommonModel

__all__ = ["Family", "Head", "Known", "families", "family", "known_checkpoints"]

GROUP = "mobile_kit.families"
BUILT_IN: dict[str, str] = {
    "mobilevitv2": "mobile_kit.families.mobilevitv2:FAMILY",
}


@dataclass(frozen=True)
class Head:
    """One task of a family.

    `architecture` is the transformers class. `outputs` are the names that a file has by default, `optional` those
    that `--outputs` can ask for.
    """

    name: str
    architecture: str
    outputs: tuple[str, ...]
    optional: tuple[str, ...] = ()


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

    `build(hf_model, head, image_size, outputs)` returns the common model, and raises UnsupportedError for an image
    size (height, width) that the config can't take. `data` is the JSON file of the known checkpoints.
    """

    name: str
    model_type: str
    heads: Mapping[str, Head]
    build: Callable[[nn.Module, str, tuple[int, int], tuple[str, ...]], CommonModel] = field(repr=False)
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


def families() -> dict[str, Family]:
    """Return all families by name: the built-in ones and those of installed packages."""
    found = {name: _load(path) for name, path in BUILT_IN.items()}
    found.update({entry.name: entry.load() for entry in metadata.entry_points(group=GROUP)})
    return dict(sorted(found.items()))


def family(name: str) -> Family:
    """Return a family by name.

    Raises: UnsupportedError with the known names.
    """
    found = families()
    if name not in found:
        raise unknown("family", name, found)
    return found[name]


def known_checkpoints() -> dict[str, Known]:
    """Return the published checkpoints of all families by name."""
    return {known.name: known for member in families().values() for known in member.known()}


def _load(path: str) -> Family:
    module, _, attribute = path.partition(":")
    member: Family = getattr(importlib.import_module(module), attribute)
    return member
