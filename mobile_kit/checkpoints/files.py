"""The files of a checkpoint: in a folder, or on the Hub."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.checkpoints.tensorflow_weights import TENSORFLOW
from mobile_kit.checkpoints.weights import PICKLE, WEIGHTS, weights_in
from mobile_kit.errors import CheckpointError, UnsupportedError, one_line
from mobile_kit.models.family import known_checkpoints

__all__ = ["HUB_ID", "PROCESSOR", "CheckpointFiles", "find_files", "find_weights"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


PROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class CheckpointFiles:
    """What a checkpoint says of itself. folder: where it is on disk, None for a known name's data."""

    config: dict[str, Any]
    processor: dict[str, Any]
    folder: Path | None
    revision: str | None
    license: str | None


def find_files(source: str, revision: str | None, random_weights: bool) -> CheckpointFiles:
    """Return what a checkpoint says of itself; of a Hub id, its small files are fetched.

    Raises: CheckpointError where there is none; UnsupportedError for a revision of what has none.
    """
    if os.path.isdir(source):  # unlike Path.is_dir, it takes a name that is too long for a path
        _refuse_revision(source, revision, "is a folder")
        return _in_folder(source, Path(source), None)
    known = known_checkpoints()
    if random_weights and source in known:
        record = known[source]
        _refuse_revision(source, revision, "with random weights comes with the kit")
        return CheckpointFiles(record.config, record.processor, None, None, record.license)
    if HUB_ID.fullmatch(source):
        folder = _download(source, revision, "config.json", PROCESSOR, "README.md")
        return _in_folder(source, folder, folder.name)
    raise CheckpointError(
        f"model {source!r}: neither a folder nor a Hub id (owner/name). "
        f"Known with --random-weights: {', '.join(known)}."
    )


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
            f"model {source!r}{at}: can't be had from the Hub ({one_line(exc)}). Check the name and the network, or "
            "give a local folder."
        ) from exc


def _in_folder(source: str, folder: Path, revision: str | None) -> CheckpointFiles:
    config = _read_json(source, folder / "config.json")
    processor = _read_json(source, folder / PROCESSOR)
    return CheckpointFiles(config, processor, folder, revision, _license(source, folder))


def find_weights(source: str, files: CheckpointFiles, allow_pickle: bool) -> Path:
    """Return the file of the weights, fetched where the checkpoint is the Hub's.

    Of a repository safetensors are wanted, else a pickle where it may be read, else TensorFlow's.
    """
    folder = files.folder
    assert folder is not None
    if files.revision is not None:
        folder = _download(source, files.revision, "model*.safetensors", WEIGHTS[1])
        for file in [PICKLE, TENSORFLOW] if allow_pickle else [TENSORFLOW]:
            if weights_in(folder, allow_pickle) is None:
                folder = _download(source, files.revision, file)
    weights = weights_in(folder, allow_pickle)
    if weights is not None:
        return weights
    if not (folder / PICKLE).is_file():
        fetched = f" If its repository has a {PICKLE}, --allow-pickle fetches it." if files.revision else ""
        raise CheckpointError(
            f"model {source!r}: no {WEIGHTS[0]}. Save the checkpoint with save_pretrained().{fetched}"
        )
    raise CheckpointError(
        f"model {source!r}: has only {PICKLE}, and a pickle can run code. Save it again with "
        "save_pretrained(), or add --allow-pickle to read its tensors only."
    )


def _read_json(source: str, path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"model {source!r}: no {path.name}. Give a folder as save_pretrained() writes it.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise CheckpointError(
            f"model {source!r}: {path.name} isn't JSON ({one_line(exc)}). Save the checkpoint again."
        ) from exc
    if not isinstance(content, dict):
        raise CheckpointError(f"model {source!r}: {path.name} isn't a JSON object. Save the checkpoint again.")
    return content


def _license(source: str, folder: Path) -> str | None:
    """Return the licence of the model card's front matter, None where there is none."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    card = folder / "README.md"
    try:
        data = (metadata_load(card) if card.is_file() else None) or {}
    except (ValueError, YAMLError) as exc:
        raise CheckpointError(
            f"model {source!r}: the front matter of README.md can't be read ({one_line(exc)}). Mend it."
        ) from exc
    license_name = data.get("license_name") if data.get("license") == "other" else None
    value = license_name or data.get("license")
    return value if isinstance(value, str) else None
