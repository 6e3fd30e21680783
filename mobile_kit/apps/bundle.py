"""From artifacts to an app: a copy of a platform's template with the models in it, ready to be opened."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_kit.apps.bundle_record import set_aside, write_record
from mobile_kit.apps.model_index import INDEX, folder_names, model_index
from mobile_kit.apps.project_check import ProjectCheck, check_app, check_references
from mobile_kit.apps.templates import APP_ID, NAME, TEMPLATES, Template, template_root
from mobile_kit.artifacts.layout import INPUTS, LABELS, MANIFEST, OUTPUTS, PHOTO
from mobile_kit.artifacts.manifest import Manifest, read_manifest, sha256_of
from mobile_kit.artifacts.staging import move_to_place, staging_folder
from mobile_kit.errors import ArtifactError, UnsupportedError
from mobile_kit.target_api.registry import find_target

__all__ = ["Bundle", "BundleOptions", "bundle"]

CARRIED = (LABELS, PHOTO, f"{INPUTS}/", f"{OUTPUTS}/")
# What a build or an editor leaves in a template, which is no part of it.
UNSHIPPED = shutil.ignore_patterns(
    *(".*", "build", "gradlew*", "gradle-wrapper.jar", "local.properties", "project.xcworkspace", "xcuserdata"),
    *("__pycache__", "*.swp"),
)
# The filters that the apps resize with, as Pillow does.
FILTERS = {"bilinear", "bicubic"}


@dataclass(frozen=True)
class BundleOptions:
    """What to make.

    app: a platform of `app_templates.TEMPLATES`. app_id, name: None for the template's own. library_only: leave the
    screens out. check: see `app_check.check_app`.
    """

    app: str
    out: Path
    app_id: str | None = None
    name: str | None = None
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
    checks: tuple[ProjectCheck, ...]


def bundle(folders: Sequence[Path], options: BundleOptions, tell: Callable[[str], None] = lambda text: None) -> Bundle:
    """Copy a template and the artifacts into a new folder, whole or not at all. tell: see `check_app`.

    Raises: ArtifactError for one that isn't as it was exported; UnsupportedError for one that the app can't run, a name
        or an id that the platform refuses, or an --out that is in use.
    """
    template = TEMPLATES[options.app]
    _check_names(template, options)
    manifests = [read_manifest(folder) for folder in folders]
    for manifest in manifests:
        _check_fits(manifest, options.app)
    out = options.out.resolve()
    _check_place(out, manifests)
    kept = set_aside(options.out, options.force)
    chosen = dict(zip(folder_names([manifest.folder for manifest in manifests]), manifests, strict=True))
    with staging_folder(out.parent) as staging:
        place = staging / "app"
        _fill(place, template, options, chosen)
        if not options.library_only:
            check_references(place, template)
        write_record(place)
        move_to_place(place, out, staging, kept)
    sizes = {name: manifest.model_bytes for name, manifest in chosen.items()}
    opened = template.library if options.library_only else template.opened
    checks = tuple(check_app(out, template, tell)) if options.check else ()
    warnings = tuple(_warnings(template, sum(sizes.values()) / 1e6, options.out, kept))
    return Bundle(str(options.out), str(options.out / opened), sizes, warnings, checks)


def _warnings(template: Template, megabytes: float, out: Path, kept: Path | None) -> Iterator[str]:
    if kept is not None:
        yield f"{out} had changes since it was made: it is kept as {kept}"
    if megabytes > template.most_mb:
        yield f"the models have {megabytes:.0f} MB: {template.beyond}"


def _check_names(template: Template, options: BundleOptions) -> None:
    if options.library_only and (options.app_id is not None or options.name is not None):
        raise UnsupportedError("--library-only: has no app, so none of --app-id and --name. Leave them out.")
    template.check_id(options.app_id or APP_ID)
    template.check_name(NAME if options.name is None else options.name)


def _check_fits(manifest: Manifest, app: str) -> None:
    target, backend = manifest.record.target, manifest.record.backend
    platforms = find_target(target).apps(backend)
    if app not in platforms:
        known = ", ".join(f"--app {each}" for each in platforms) or "an app of your own"
        file = f"{target} file{f' for {backend}' if backend else ''}"
        raise UnsupportedError(f"artifact {manifest.folder}: the {app} app has no runtime for a {file}. Use {known}.")
    if PHOTO not in manifest.record.files:
        raise ArtifactError(f"artifact {manifest.folder}: has no {PHOTO} for the self-test. Export the model again.")
    work = manifest.record.preprocess
    if manifest.preprocess.channels not in {1, 3}:
        raise UnsupportedError(
            f"artifact {manifest.folder}: takes {manifest.preprocess.channels} channels, and the app's photos have 3. "
            "Use it in an app of your own."
        )
    if work.resize is not None and work.resample not in FILTERS:
        way = "Export it with a processor that has one of these"
        known = " and ".join(sorted(FILTERS))
        raise UnsupportedError(f"artifact {manifest.folder}: the apps resize with {known}, not {work.resample}. {way}.")


def _check_place(out: Path, manifests: Sequence[Manifest]) -> None:
    for manifest in manifests:
        folder = manifest.folder.resolve()
        if out == folder or folder in out.parents or out in folder.parents:
            raise UnsupportedError(f"--out {out}: lies in artifact {folder}, or that in it. Choose another.")


def _fill(place: Path, template: Template, options: BundleOptions, chosen: Mapping[str, Manifest]) -> None:
    source = template_root() / template.folder
    if options.library_only:
        shutil.copytree(source / template.library, place / template.library, ignore=UNSHIPPED)
        for file in template.alone:
            (place / file).parent.mkdir(parents=True)
            shutil.copyfile(source / file, place / file)
        models = place / "models"
    else:
        shutil.copytree(source, place, ignore=UNSHIPPED)
        models = place / template.models
        # What keeps the folder in the template isn't the app's.
        shutil.rmtree(models, ignore_errors=True)
        for file, written in template.fills.items():
            _replace(place / file, {APP_ID: options.app_id or APP_ID, NAME: written(options.name or NAME)})
    models.mkdir(parents=True)
    targets = {manifest.record.target for manifest in chosen.values()}
    for target, (file, values) in template.without.items():
        if target not in targets:
            _replace(place / template.library / file, values)
    for name, manifest in chosen.items():
        _carry(manifest, models / name, place / (template.compiled or "") / f"{name}{manifest.model_path.suffix}")
    (models / INDEX).write_text(json.dumps(model_index(chosen), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _replace(path: Path, values: Mapping[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for placed, value in values.items():
        text = text.replace(placed, value)
    path.write_text(text, encoding="utf-8")


def _carry(manifest: Manifest, folder: Path, package: Path) -> None:
    """Copy what an app needs of an artifact. package: where a model goes that the platform's compiler takes."""
    model = manifest.record.model_file
    for file in (MANIFEST, *manifest.record.files):
        if file in {MANIFEST, model} or file.startswith(CARRIED):
            target = folder / file
        elif file.startswith(f"{model}/"):
            target = package / file.removeprefix(f"{model}/")
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest.folder / file, target)
        if file != MANIFEST and sha256_of(target) != manifest.record.files[file].sha256:
            raise ArtifactError(f"artifact {manifest.folder}: {file} changed while it was copied. Bundle it again.")
