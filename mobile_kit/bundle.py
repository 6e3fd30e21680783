"""From artifacts to an app: a copy of a platform's template with the models in it, ready to be opened."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_kit.app_check import Check, check_app, check_references
from mobile_kit.app_templates import APP_ID, NAME, TEMPLATES, Template, template_root
from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.manifest import MANIFEST, Manifest, read_manifest, sha256_of
from mobile_kit.staging import move_to_place, staging_folder
from mobile_kit.target import find_target

__all__ = ["Bundle", "BundleOptions", "bundle"]

# Tells a folder that was made here.
INDEX, SCHEMA_VERSION = "models.json", 1
# What an app reads of an artifact beside its manifest and model; the rest judges the file on this machine.
CARRIED = ("labels.txt", "golden/photo.png", "golden/inputs/", "golden/outputs/")
# What a build or an editor leaves in a template, which is no part of it.
LEFT = shutil.ignore_patterns(".*", "build", "xcuserdata", "__pycache__", "*.swp")
# The signal to noise that an app's self-test asks for. Other processors round otherwise, and one photo isn't the mean
# of many, so a file may lie this far below what verification measured; red and blue swapped leave less.
MOST_ASKED_DB, MARGIN_DB, LEAST_ASKED_DB = 30.0, 10.0, 10.0


@dataclass(frozen=True)
class BundleOptions:
    """What to make.

    app: a platform of `app_templates.TEMPLATES`. library_only: leave the screens out. check: see `app_check.check_app`.
    """

    app: str
    out: Path
    app_id: str = APP_ID
    name: str = NAME
    library_only: bool = False
    force: bool = False
    check: bool = False


@dataclass(frozen=True)
class Bundle:
    """What was made.

    opened: what to open. models: bytes of each, by its folder. warnings: of the platform's store. checks: what was
    asked for; every file's hash and every reference of the project were checked before it took its place.
    """

    folder: str
    opened: str
    models: Mapping[str, int]
    warnings: tuple[str, ...]
    checks: tuple[Check, ...]


def bundle(folders: Sequence[Path], options: BundleOptions, tell: Callable[[str], None] = lambda text: None) -> Bundle:
    """Copy a template and the artifacts into a new folder, whole or not at all. tell: see `check_app`.

    Raises: ArtifactError for one that isn't as it was exported; UnsupportedError for one that the app can't run, a name
        or an id that the platform refuses, or a folder that exists.
    """
    template = TEMPLATES[options.app]
    template.check_id(options.app_id)
    template.check_name(options.name)
    manifests = [read_manifest(folder) for folder in folders]
    for manifest in manifests:
        _check_fits(manifest, options.app)
    _check_place(options, manifests)
    chosen = dict(zip(_names(manifests), manifests, strict=True))
    with staging_folder(options.out.resolve().parent) as staging:
        place = staging / "app"
        _fill(place, template, options, chosen)
        if not options.library_only:
            check_references(place, template)
        move_to_place(place, options.out, staging)
    sizes = {name: manifest.model_bytes for name, manifest in chosen.items()}
    megabytes = sum(sizes.values()) / 1e6
    warnings = (f"the models have {megabytes:.0f} MB: {template.beyond}",) if megabytes > template.most_mb else ()
    opened = template.library if options.library_only else template.opened
    checks = tuple(check_app(options.out, template, tell)) if options.check else ()
    return Bundle(str(options.out), str(options.out / opened), sizes, warnings, checks)


def _check_fits(manifest: Manifest, app: str) -> None:
    target, backend = manifest.data["target"], manifest.data["backend"]
    platforms = find_target(target).apps(backend)
    if app not in platforms:
        known = ", ".join(f"--app {each}" for each in platforms) or "an app of your own"
        file = f"{target} file{f' for {backend}' if backend else ''}"
        raise UnsupportedError(f"artifact {manifest.folder}: the {app} app has no runtime for a {file}. Use {known}.")


def _check_place(options: BundleOptions, manifests: Sequence[Manifest]) -> None:
    out = options.out.resolve()
    for manifest in manifests:
        folder = manifest.folder.resolve()
        if out == folder or folder in out.parents or out in folder.parents:
            raise UnsupportedError(f"--out {options.out}: has to do with artifact {manifest.folder}. Choose another.")
    if not options.out.exists():
        return
    ours = any((options.out / each.models / INDEX).is_file() for each in TEMPLATES.values())
    if not options.force or not (ours or (options.out / INDEX).is_file()):
        way = "Give --force to replace it" if ours else "Move it away, or choose another"
        raise UnsupportedError(f"--out {options.out}: exists{'' if ours else ' and is no app of the kit'}. {way}.")


def _names(manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield a folder's name for each artifact, made of its own and its model's.

    Raises: UnsupportedError for one that is given twice.
    """
    seen: set[str] = set()
    for manifest in manifests:
        folder = manifest.folder.resolve()
        name = "-".join(
            "".join(c if c.isascii() and (c.isalnum() or c in "._") else "-" for c in part)
            for part in (folder.parent.name, folder.name)
        )
        if name.lower() in seen:
            raise UnsupportedError(f"artifact {manifest.folder}: {name} is there already. Give it once.")
        seen.add(name.lower())
        yield name


def _fill(place: Path, template: Template, options: BundleOptions, chosen: Mapping[str, Manifest]) -> None:
    source = template_root() / template.folder
    if options.library_only:
        shutil.copytree(source / template.library, place / template.library, ignore=LEFT)
        for file in template.alone:
            (place / file).parent.mkdir(parents=True)
            shutil.copyfile(source / file, place / file)
        models, compiled = place / "models", "models"
    else:
        shutil.copytree(source, place, ignore=LEFT)
        models, compiled = place / template.models, template.compiled or template.models
        for file, written in template.fills.items():
            _replace(place / file, {APP_ID: options.app_id, NAME: written(options.name)})
    targets = {manifest.data["target"] for manifest in chosen.values()}
    for target, (file, values) in template.without.items():
        if target not in targets:
            _replace(place / template.library / file, values)
    for name, manifest in chosen.items():
        _carry(manifest, models / name, place / compiled / f"{name}{manifest.model_path.suffix}")
    index = {"schema_version": SCHEMA_VERSION, "models": [_entry(name, each) for name, each in chosen.items()]}
    (models / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _replace(path: Path, values: Mapping[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for placed, value in values.items():
        text = text.replace(placed, value)
    path.write_text(text, encoding="utf-8")


def _carry(manifest: Manifest, folder: Path, package: Path) -> None:
    """Copy what an app needs of an artifact. package: where a model goes that the platform's compiler takes."""
    model = manifest.data["model_file"]
    for file in (MANIFEST, *manifest.data["files"]):
        if file in {MANIFEST, model} or file.startswith(CARRIED):
            target = folder / file
        elif file.startswith(f"{model}/"):
            target = package / file.removeprefix(f"{model}/")
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest.folder / file, target)
        if file != MANIFEST and sha256_of(target) != manifest.data["files"][file]["sha256"]:
            raise ArtifactError(f"artifact {manifest.folder}: {file} changed while it was copied. Bundle it again.")


def _entry(name: str, manifest: Manifest) -> dict[str, Any]:
    data = manifest.data
    kind = " ".join(filter(None, (data["target"], data["backend"], data["recipe"]["name"])))
    title = f"{data['model']['source'].rpartition('/')[2]}, {kind}"
    return {"folder": name, "title": title, "least_sqnr_db": dict(_asked(manifest))}


def _asked(manifest: Manifest) -> Iterator[tuple[str, float]]:
    """Yield what the self-test asks of each output that verification judged by its noise.

    Raises: ArtifactError where the artifact wasn't verified.
    """
    try:
        record = json.loads((manifest.folder / "verify.json").read_text(encoding="utf-8"))
        for each in record["outputs"]:
            if each["bound"] != "not judged" and each["pixel_agreement"] is None:
                measured = MOST_ASKED_DB + MARGIN_DB if each["sqnr_db"] is None else float(each["sqnr_db"])
                yield each["name"], round(max(LEAST_ASKED_DB, min(MOST_ASKED_DB, measured - MARGIN_DB)), 1)
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise ArtifactError(
            f"artifact {manifest.folder}: verify.json can't be read ({exc}). Run: mobile-kit verify {manifest.folder}"
        ) from exc
