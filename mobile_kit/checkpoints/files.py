"""The files of a checkpoint: in a folder, in the Hub's cache, or on the Hub."""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.checkpoints.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, alone
from mobile_kit.checkpoints.hub_revision import HUB_ID
from mobile_kit.checkpoints.tensorflow_weights import TENSORFLOW
from mobile_kit.checkpoints.tensors import PICKLES, SAFETENSORS, shards
from mobile_kit.checkpoints.weights import weights_in
from mobile_kit.errors import CheckpointError, UnsupportedError, one_line, plain
from mobile_kit.models.family import known_checkpoints
from mobile_kit.reading import ReadError, read_json_object, read_text

__all__ = ["PROCESSOR", "CheckpointFiles", "find_files", "find_weights"]

CONFIG, CARD = "config.json", "README.md"
PROCESSOR, NESTED_PROCESSOR = "preprocessor_config.json", "processor_config.json"
# A repository in the Hub's cache, and a revision of it.
CACHED = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")
# What a Trainer writes for each of its checkpoints.
STEP = re.compile(r"checkpoint-(\d+)")
# Names of folders that say nothing without their parent's.
PLAIN = re.compile(r"(checkpoint|epoch|step)s?[-_]?\d*|best|final|last|models?|outputs?", re.IGNORECASE)
MOST_LICENSE, MOST_SHOWN = 100, 200


@dataclass(frozen=True)
class CheckpointFiles:
    """What a checkpoint says of itself.

    name: a Hub id, a known name, or that of a local folder, whose path is nobody else's business, but for its parent's
    name in front of one such as checkpoint-500. folder: where it is
    on disk, None for a known name's data. on_hub: whether further files have to be fetched. notes: what its user
    should know.
    """

    name: str
    config: dict[str, Any]
    processor: dict[str, Any]
    folder: Path | None
    revision: str | None
    license: str | None
    on_hub: bool = False
    notes: tuple[str, ...] = ()


def find_files(source: str, revision: str | None, random_weights: bool) -> CheckpointFiles:
    """Return what a checkpoint says of itself; of a Hub id, its small files are fetched.

    Raises: CheckpointError where there is none; UnsupportedError for a revision of what has none.
    """
    if os.path.isdir(source):  # unlike Path.is_dir, it takes a name that is too long for a path
        _refuse_revision(source, revision, "is a folder")
        return _local(source, Path(source))
    if os.path.isfile(source):
        raise CheckpointError(
            f"model {source!r}: is a file. Give the folder of a checkpoint as save_pretrained() writes it; what is "
            "saved otherwise, load in its own code and save with model.save_pretrained() and "
            "processor.save_pretrained()."
        )
    known = known_checkpoints()
    if random_weights and source in known:
        record = known[source]
        _refuse_revision(source, revision, "with random weights comes with the kit")
        return CheckpointFiles(source, record.config, record.processor, None, None, record.license)
    if HUB_ID.fullmatch(source):
        folder = _download(source, revision, CONFIG, PROCESSOR, NESTED_PROCESSOR, CARD, ADAPTER_CONFIG)
        return _in_folder(source, source, folder, folder.name, on_hub=True)
    raise CheckpointError(
        f"model {source[:MOST_SHOWN]!r}: neither a folder nor a Hub id (owner/name).{_nearest(source[:MOST_SHOWN])} "
        "`mobile-kit list` has the known ones."
    )


def _nearest(source: str) -> str:
    """Return the known names that are like one, in a sentence; nothing where none is."""
    known = known_checkpoints()
    names = {name.rpartition("/")[2]: name for name in known}
    like = difflib.get_close_matches(source, known, 3, 0.7)
    like = like or [names[name] for name in difflib.get_close_matches(source.rpartition("/")[2], names, 3, 0.7)]
    return f" Is {' or '.join(like)} meant?" if like else ""


def _refuse_revision(source: str, revision: str | None, why: str) -> None:
    if revision is not None:
        raise UnsupportedError(f"revision {revision!r}: {source} {why} and has no revisions. Leave --revision out.")


def _download(source: str, revision: str | None, *patterns: str) -> Path:
    """Fetch files of a repository; return its folder, whose name is the revision."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))
    except Exception as exc:  # the Hub's client raises its own kinds and those of its transport
        at = f" at revision {revision}" if revision else ""
        raise CheckpointError(
            f"model {source!r}{at}: can't be had from the Hub ({one_line(exc)}).{_nearest(source)} Check the name and "
            "the network; without one, give the checkpoint's folder, or --random-weights for a known one's latency."
        ) from exc


def _local(source: str, folder: Path) -> CheckpointFiles:
    """Return what a folder says of itself, or the snapshot in it where it is a repository of the Hub's cache."""
    place = folder.resolve()
    if CACHED.fullmatch(place.name) and (place / "snapshots").is_dir():
        place = folder = _snapshot(source, place)
    cached = CACHED.fullmatch(place.parent.parent.name) if place.parent.name == "snapshots" else None
    if cached is not None:
        return _in_folder(source, f"{cached['owner']}/{cached['name']}", folder, place.name)
    named = f"{place.parent.name}-{place.name}" if PLAIN.fullmatch(place.name) and place.parent.name else place.name
    return _in_folder(source, named, folder, None)


def _snapshot(source: str, repository: Path) -> Path:
    main = repository / "refs" / "main"
    snapshots = sorted(path for path in (repository / "snapshots").iterdir() if path.is_dir())
    try:
        wanted = read_text(main).strip() if main.is_file() else ""
    except ReadError:
        wanted = ""
    found = [path for path in snapshots if path.name == wanted] or snapshots
    if len(found) != 1:
        raise CheckpointError(
            f"model {source!r}: the Hub's cache has {len(found)} revisions there. Give the folder of one, below "
            "snapshots/."
        )
    return found[0]


def _in_folder(source: str, name: str, folder: Path, revision: str | None, on_hub: bool = False) -> CheckpointFiles:
    _check_kind(source, folder)
    config = _read_json(source, folder / CONFIG)
    _check_origin(source, config)
    license_name, notes = _license(source, folder)
    return CheckpointFiles(
        name, config, _processor(source, folder, config), folder, revision, license_name, on_hub, notes
    )


def _check_kind(source: str, folder: Path) -> None:
    """Raise CheckpointError where a folder is something else than a checkpoint."""
    if (folder / CONFIG).is_file():
        return
    if (folder / ADAPTER_CONFIG).is_file():
        raise alone(source)
    if (folder / "manifest.json").is_file():
        raise CheckpointError(f"model {source!r}: is an artifact of an export. Give the checkpoint that it is of.")
    steps = {int(found[1]): path for path in _folders(folder) if (found := STEP.fullmatch(path.name))}
    if steps:
        raise CheckpointError(
            f"model {source!r}: holds checkpoints of a training ({len(steps)}). Give one, such as the last: "
            f"{Path(source) / steps[max(steps)].name}"
        )


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _check_origin(source: str, config: dict[str, Any]) -> None:
    """Raise CheckpointError for a checkpoint of another library, whose tensors have other names."""
    if "model_type" in config:
        return
    if "architecture" in config:
        raise CheckpointError(
            f"model {source!r}: is timm's {str(config['architecture'])[:50]!r}, whose tensors have other names. Give "
            f"Hugging Face's own checkpoint of it{_like(str(config['architecture']))}."
        )
    if {"q_pool", "mask_unit_size", "mask_unit_attn"} & config.keys():
        raise CheckpointError(
            f"model {source!r}: is of the original Hiera, whose tensors have other names. Give Hugging Face's "
            "conversion, whose name ends in -hf, such as facebook/hiera-tiny-224-in1k-hf."
        )


def _like(architecture: str) -> str:
    """Return a known checkpoint of a timm architecture's family, for the end of a sentence; nothing of another."""
    family = architecture.lower().partition("_")[0]
    return next((f", such as {name}" for name, known in known_checkpoints().items() if known.family == family), "")


def find_weights(source: str, files: CheckpointFiles, allow_pickle: bool) -> Path:
    """Return the file of the weights, or of their index, fetched where the checkpoint is the Hub's.

    Of a repository safetensors are wanted, else a pickle where it may be read, else TensorFlow's.
    """
    folder = files.folder
    assert folder is not None
    weights = _fetched(source, files, allow_pickle) if files.on_hub else weights_in(folder, allow_pickle)
    if weights is not None:
        return weights
    if not any((folder / name).is_file() for name in PICKLES):
        fetched = f" If its repository has a {PICKLES[0]}, --allow-pickle fetches it." if files.on_hub else ""
        raise CheckpointError(
            f"model {source!r}: no {SAFETENSORS[0]}. Save the checkpoint with save_pretrained().{fetched}"
        )
    raise CheckpointError(
        f"model {source!r}: has only {PICKLES[0]}, and a pickle can run code. Save it again with "
        "save_pretrained(), or add --allow-pickle to read its tensors only."
    )


def _fetched(source: str, files: CheckpointFiles, allow_pickle: bool) -> Path | None:
    """Fetch the first weights that a repository has, and what their index names."""
    for names in (SAFETENSORS, *([PICKLES] if allow_pickle else []), (TENSORFLOW,)):
        weights = weights_in(_download(source, files.revision, *names), allow_pickle)
        if weights is not None:
            if weights.suffix == ".json":
                _download(source, files.revision, *_listed(source, weights))
            if files.folder is not None and (files.folder / ADAPTER_CONFIG).is_file():
                _download(source, files.revision, ADAPTER_WEIGHTS)
            return weights
    return None


def _listed(source: str, index: Path) -> list[str]:
    return [path.name for path in shards(source, index, there=False)]


def _processor(source: str, folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the image processor's config: transformers 5 nests it in that of a processor of several kinds of input."""
    if (folder / NESTED_PROCESSOR).is_file():
        nested = _read_json(source, folder / NESTED_PROCESSOR).get("image_processor")
        if isinstance(nested, dict):
            return nested
    if not (folder / PROCESSOR).is_file():
        base = config.get("_name_or_path")
        base = base if isinstance(base, str) and HUB_ID.fullmatch(base) else "BASE_MODEL"
        raise CheckpointError(
            f"model {source!r}: no {PROCESSOR}, so how its images are prepared isn't known. Save that of the model it "
            'was tuned from beside it: python -c "from transformers import AutoImageProcessor as p; '
            f"p.from_pretrained('{base}').save_pretrained('FOLDER')\""
        )
    return _read_json(source, folder / PROCESSOR)


def _read_json(source: str, path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise CheckpointError(f"model {source!r}: no {path.name}. Give a folder as save_pretrained() writes it.")
    try:
        return read_json_object(path)
    except ReadError as exc:
        raise CheckpointError(f"model {source!r}: {path.name} {exc}. Save the checkpoint again.") from exc


def _license(source: str, folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """Return the licence of the model card's front matter, None where there is none, and a note where it's broken."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    card = folder / CARD
    if not card.is_file():
        return None, ()
    try:
        read_text(card)
        data = metadata_load(card) or {}
    except (ValueError, YAMLError, RecursionError) as exc:
        return None, (f"licence of {source}: unknown, as the front matter of {CARD} can't be read ({one_line(exc)})",)
    license_name = data.get("license_name") if data.get("license") == "other" else None
    value = license_name or data.get("license")
    return (plain(value)[:MOST_LICENSE] if isinstance(value, str) else None), ()
