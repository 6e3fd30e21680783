"""Bundles of real artifacts, in templates that are as small as can be."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_kit.apps import templates as app_templates
from mobile_kit.apps.bundle import Bundle, BundleOptions, bundle
from mobile_kit.artifacts.manifest import read_manifest
from mobile_kit.errors import ArtifactError, UnsupportedError
from tests.conftest import Answer
from tests.exports import Export

PROJECT = 'id = {}; name = "{}"; relativePath = MobileKitRuntime;\n'


@pytest.fixture(autouse=True)
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Templates with nothing but what is filled in, and what isn't copied."""
    root = tmp_path / "templates"
    files = {
        "android/app/build.gradle.kts": 'applicationId = "dev.mobilekit.sample"\n',
        "android/app/src/main/res/values/strings.xml": "<string name='app_name'>Mobile Kit</string>\n",
        "android/mobilekit-runtime/Runtime.kt": "package mobilekit\n",
        "android/settings.gradle.kts": 'include(":app", ":mobilekit-runtime")\n',
        "android/gradle/libs.versions.toml": "[versions]\n",
        "android/app/build/left.txt": "left by a build",
        "ios/MobileKit.xcodeproj/project.pbxproj": PROJECT.format("dev.mobilekit.sample", "Mobile Kit"),
        "ios/MobileKitRuntime/Package.swift": "let usesExecuTorch = true\n",
        "ios/.DS_Store": "left by a Mac",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr("mobile_kit.apps.bundle.template_root", lambda: root)
    return root


def options(out: Path, app: str = "android") -> BundleOptions:
    return BundleOptions(app, out, "com.example.digits", "Digits")


def made(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_android_app_has_its_models_and_names(digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "app"
    found = bundle([digits["tflite-fp32"], digits["executorch-xnnpack-fp16"]], options(out))
    files = made(out)
    assert files["app/build.gradle.kts"] == b'applicationId = "com.example.digits"\n'
    assert files["app/src/main/res/values/strings.xml"] == b"<string name='app_name'>Digits</string>\n"
    assert "app/build/left.txt" not in files
    models = "app/src/main/assets/models"
    index = json.loads(files[f"{models}/models.json"])
    assert index["schema_version"] == 1
    names = [each["folder"] for each in index["models"]]
    assert (
        names
        == list(found.models)
        == [
            "mobilevitv2-digits-tflite-fp32",
            "mobilevitv2-digits-executorch-xnnpack-fp16",
        ]
    )
    assert index["models"][0]["title"] == "mobilevitv2-digits, tflite fp32"
    # As much as verification measured, but for the margin, and no more than an accelerator keeps.
    assert index["models"][0]["least_sqnr_db"] == {"probabilities": 30.0, "logits": 30.0}
    for name, folder in zip(names, (digits["tflite-fp32"], digits["executorch-xnnpack-fp16"]), strict=True):
        manifest = read_manifest(folder)
        carried = {path.removeprefix(f"{models}/{name}/") for path in files if path.startswith(f"{models}/{name}/")}
        golden = {record.golden for records in (manifest.record.inputs, manifest.record.outputs) for record in records}
        assert carried == {"manifest.json", "labels.txt", "golden/photo.png", manifest.record.model_file, *golden}
        assert all(files[f"{models}/{name}/{path}"] == (folder / path).read_bytes() for path in carried)
    assert (found.opened, found.warnings) == (str(out), ())


def test_an_ios_app_has_packages_where_the_compiler_takes_them(digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "app"
    found = bundle([digits["coreml-fp16"], digits["executorch-xnnpack-fp32"]], options(out, "ios"))
    files = made(out)
    package = "CoreML/mobilevitv2-digits-coreml-fp16.mlpackage"
    assert files[f"{package}/Manifest.json"] == (digits["coreml-fp16"] / "model.mlpackage/Manifest.json").read_bytes()
    assert "Models/mobilevitv2-digits-coreml-fp16/manifest.json" in files
    assert not any(path.startswith("Models/mobilevitv2-digits-coreml-fp16/model") for path in files)
    assert "Models/mobilevitv2-digits-executorch-xnnpack-fp32/model.pte" in files
    assert files["MobileKit.xcodeproj/project.pbxproj"] == PROJECT.format("com.example.digits", "Digits").encode()
    assert not any(Path(path).name.startswith(".") for path in files)
    assert files["MobileKitRuntime/Package.swift"] == b"let usesExecuTorch = true\n"
    assert found.opened == str(out / "MobileKit.xcodeproj")


def test_names_with_dots_are_kept_in_packages_too(digits: Export, tmp_path: Path) -> None:
    own = Path(shutil.copytree(digits["coreml-fp32"], tmp_path / "mobilevitv2-0.5.v2" / "coreml.mlmodelc"))
    bundle([own], options(tmp_path / "app", "ios"))
    files = made(tmp_path / "app")
    name = "mobilevitv2-0.5.v2-coreml.mlmodelc"
    assert f"Models/{name}/manifest.json" in files
    # The app asks for what the compiler makes of it, which replaces the last suffix alone.
    assert f"CoreML/{name}.mlpackage/Manifest.json" in files


def test_a_library_alone_comes_with_the_models(digits: Export, tmp_path: Path) -> None:
    found = bundle([digits["coreml-fp32"]], BundleOptions("ios", tmp_path / "lib", library_only=True))
    files = made(tmp_path / "lib")
    assert {path.partition("/")[0] for path in files} == {"CoreML", "MobileKitRuntime", "mobile-kit.json", "models"}
    assert "CoreML/mobilevitv2-digits-coreml-fp32.mlpackage/Manifest.json" in files
    # A runtime that no model needs is left out: it is a large download.
    assert files["MobileKitRuntime/Package.swift"] == b"let usesExecuTorch = false\n"
    assert found.opened == str(tmp_path / "lib/MobileKitRuntime")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Jürgen's “App”", b"<string name='app_name'>J\xc3\xbcrgen\\'s \xe2\x80\x9cApp\xe2\x80\x9d</string>\n"),
        ("数字 & <b>", b"<string name='app_name'>\xe6\x95\xb0\xe5\xad\x97 &amp; &lt;b&gt;</string>\n"),
        ('a"$x\\', b"<string name='app_name'>a\\\"$x\\\\</string>\n"),
    ],
)
def test_a_name_in_any_script_is_written_as_each_file_needs_it(
    name: str, written: bytes, digits: Export, tmp_path: Path
) -> None:
    bundle([digits["tflite-fp32"]], replace(options(tmp_path / "app"), name=name))
    files = made(tmp_path / "app")
    assert files["app/src/main/res/values/strings.xml"] == written


@pytest.mark.parametrize("app_id", ["digits", "com.example.", "com.9.digits", "com.new.x", "com.ex ample.x", "a.$(x)"])
def test_an_id_that_android_refuses_is_refused(app_id: str, digits: Export, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"--app-id .* android takes none such"):
        bundle([digits["tflite-fp32"]], replace(options(tmp_path / "app"), app_id=app_id))
    assert not (tmp_path / "app").exists()


def test_an_id_with_a_dash_is_one_of_ios(digits: Export, tmp_path: Path) -> None:
    found = replace(options(tmp_path / "app", "ios"), app_id="com.my-firm.new")
    bundle([digits["coreml-fp32"]], found)
    with pytest.raises(UnsupportedError, match="ios takes none such"):
        bundle([digits["coreml-fp32"]], replace(found, out=tmp_path / "other", app_id="com.my_firm.x"))


@pytest.mark.parametrize("name", ["$(SRCROOT)", "${HOME}", "5 $", "a$b"])
def test_a_name_that_xcode_would_replace_is_refused(name: str, digits: Export, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"--name .* ios takes \$ for a setting. Give another."):
        bundle([digits["coreml-fp32"]], replace(options(tmp_path / "app", "ios"), name=name))
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("name", ["", "  ", " x", "a\nb", "x" * 31, "a\u202eb", "a\u2028b", "a\u00a0b", "a  b"])
def test_a_name_that_no_app_can_have_is_refused(name: str, digits: Export, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="--name"):
        bundle([digits["tflite-fp32"]], replace(options(tmp_path / "app"), name=name))


@pytest.mark.parametrize(
    ("artifact", "app", "said"),
    [
        ("coreml-fp32", "android", r"the android app has no runtime for a coreml file\. Use --app ios\."),
        ("tflite-fp32", "ios", r"the ios app has no runtime for a tflite file\. Use --app android\."),
    ],
)
def test_a_file_that_an_app_cant_run_is_refused(
    artifact: str, app: str, said: str, digits: Export, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=said):
        bundle([digits[artifact]], options(tmp_path / "app", app))


def test_a_tampered_artifact_is_refused_and_nothing_is_made(digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "artifact"))
    with (artifact / "model.tflite").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ArtifactError, match=r"model\.tflite has changed since the export"):
        bundle([artifact], options(tmp_path / "app"))
    assert not (tmp_path / "app").exists()


def test_an_artifact_that_was_not_verified_is_refused(digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "artifact"))
    (artifact / "verify.json").unlink()
    with pytest.raises(ArtifactError, match=r"wasn't verified\. Run: mobile-kit verify "):
        bundle([artifact], options(tmp_path / "app"))
    assert not (tmp_path / "app").exists()


def test_an_artifact_is_given_once(digits: Export, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"is given twice\. Give it once"):
        bundle([digits["tflite-fp32"]] * 2, options(tmp_path / "app"))


def test_an_app_is_replaced_only_by_force(digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "app"
    bundle([digits["tflite-fp32"]], options(out))
    with pytest.raises(UnsupportedError, match=r"exists\. Give --force to replace it"):
        bundle([digits["tflite-fp16"]], options(out))
    bundle([digits["tflite-fp16"]], replace(options(out), force=True))
    assert "app/src/main/assets/models/mobilevitv2-digits-tflite-fp16/manifest.json" in made(out)
    assert "app/src/main/assets/models/mobilevitv2-digits-tflite-fp32/manifest.json" not in made(out)


def test_another_folder_is_never_replaced(digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UnsupportedError, match="exists and is no app of the kit"):
        bundle([digits["tflite-fp32"]], replace(options(out), force=True))
    assert made(out) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("inside", [".", "app", ".."])
def test_an_app_and_its_artifact_lie_apart(inside: str, digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "out/artifact"))
    before = made(artifact)
    with pytest.raises(UnsupportedError, match=r"lies in artifact .*, or that in it"):
        bundle([artifact], replace(options(artifact / inside), force=True))
    assert made(artifact) == before


def test_what_its_user_changed_is_kept(digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "app"
    bundle([digits["tflite-fp32"]], options(out))
    (out / "app/src/Mine.kt").write_text("my screen")
    (out / "app/build").mkdir()
    (out / "app/build/made.txt").write_text("by Gradle")
    changed = made(out)
    found = bundle([digits["tflite-fp16"]], replace(options(out), force=True))
    kept = tmp_path / "app-before-1"
    assert found.warnings == (f"{out} had changes since it was made: it is kept as {kept}",)
    assert made(kept) == changed
    assert "app/src/Mine.kt" not in made(out)
    # Nothing is kept of one that nobody changed, whatever a build left in it.
    (out / "app/build").mkdir()
    (out / "app/build/made.txt").write_text("by Gradle")
    assert bundle([digits["tflite-fp32"]], replace(options(out), force=True)).warnings == ()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("app")) == ["app", "app-before-1"]


@pytest.mark.parametrize("own", ["app/src/build/Mine.kt", "local.properties", "link", "broken"])
def test_what_only_looks_built_is_kept(
    own: str, digits: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "app"
    bundle([digits["tflite-fp32"]], options(out))
    if own in {"link", "broken"}:
        (out / own).symlink_to("app" if own == "link" else "nowhere")
    else:
        (out / own).parent.mkdir(exist_ok=True, parents=True)
        (out / own).write_text("mine")
    monkeypatch.chdir(out)
    (warning,) = bundle([digits["tflite-fp32"]], replace(options(Path(".")), force=True)).warnings
    kept = tmp_path / "app-before-1"
    assert warning.endswith(f"it is kept as {kept}")
    assert (kept / own).is_symlink() or (kept / own).read_text() == "mine"
    assert not (out / own).exists()


def test_a_library_is_replaced_too(digits: Export, tmp_path: Path) -> None:
    asked = BundleOptions("android", tmp_path / "lib", library_only=True)
    bundle([digits["tflite-fp32"]], asked)
    assert bundle([digits["tflite-fp16"]], replace(asked, force=True)).warnings == ()
    assert "models/mobilevitv2-digits-tflite-fp16/manifest.json" in made(tmp_path / "lib")


@pytest.mark.parametrize("given", [{"name": "Digits"}, {"app_id": "com.example.digits"}])
def test_a_library_has_no_name(given: dict[str, str], digits: Export, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="has no app, so none of --app-id and --name"):
        bundle([digits["tflite-fp32"]], BundleOptions("android", tmp_path / "lib", library_only=True, **given))


@pytest.mark.parametrize("text", ["{}", "[]", '{"schema_version": 2, "files": {}}', '{"schema_version": 1}', "{"])
def test_a_folder_with_a_like_file_is_no_app(text: str, digits: Export, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "mobile-kit.json").write_text(text)
    with pytest.raises(UnsupportedError, match="exists and is no app of the kit"):
        bundle([digits["tflite-fp32"]], replace(options(out), force=True))
    assert made(out) == {"mobile-kit.json": text.encode()}


def test_a_link_is_not_followed(digits: Export, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UnsupportedError, match="is a link"):
        bundle([digits["tflite-fp32"]], options(tmp_path / "link"))


def test_a_filter_that_no_app_has_is_refused(digits: Export, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(digits["tflite-fp32"], tmp_path / "artifact"))
    text = (artifact / "manifest.json").read_text()
    changed = text.replace('"resample": "bilinear"', '"resample": "lanczos"').replace(
        '"resample": "bicubic"', '"resample": "lanczos"'
    )
    assert changed != text
    (artifact / "manifest.json").write_text(changed)
    with pytest.raises(UnsupportedError, match="the apps resize with bicubic and bilinear, not lanczos"):
        bundle([artifact], options(tmp_path / "app"))


def test_what_a_store_has_doubts_about_is_said(digits: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app_templates.TEMPLATES, "android", replace(app_templates.TEMPLATES["android"], most_mb=1))
    found: Bundle = bundle([digits["tflite-fp32"]], options(tmp_path / "app"))
    (warning,) = found.warnings
    assert warning.startswith("the models have 2 MB: Google Play takes at most 200 MB")


def test_the_command_says_what_to_open(digits: Export, tmp_path: Path, command: Callable[..., Answer]) -> None:
    answer = command("bundle", digits["tflite-fp32"], "--app", "android", "--out", tmp_path / "app")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == f"Open {tmp_path / 'app'}"
