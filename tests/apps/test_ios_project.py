"""The iOS app in a bundle: its project and sources, as far as they can be checked without a Mac."""

import json
import plistlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mobile_kit.apps.bundle import BundleOptions, bundle
from mobile_kit.apps.templates import APP_ID, NAME, TEMPLATES
from tests.apps.swift_app import JOB, README, STRICT, App, sources
from tests.apps.usage import shown
from tests.exports import ROOT, Export

TEMPLATE = ROOT / "sample_apps" / "ios"
PROJECT, SCHEME = "MobileKit.xcodeproj/project.pbxproj", "MobileKit.xcodeproj/xcshareddata/xcschemes/MobileKit.xcscheme"
# Linux has no interfaces for these; what doesn't import them is type-checked.
APPLES = ("import PhotosUI", "import SwiftUI", "import UIKit")
OWN_ID, OWN_NAME = "com.my-firm.digits", 'Jürgens "數字" \\ & <co>'
CHOSEN = ("coreml-fp16", "executorch-xnnpack-fp32")


@pytest.fixture(scope="module")
def app(digits: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with a model for each runner. Not to be changed."""
    out = tmp_path_factory.mktemp("bundled") / "app"
    bundle([digits[name] for name in CHOSEN], BundleOptions("ios", out, OWN_ID, OWN_NAME))
    return out


@pytest.fixture(scope="module")
def objects(app: Path) -> dict[str, Any]:
    """The objects of the app's project by their ids."""
    pbxproj = pytest.importorskip("pbxproj")
    project = pbxproj.XcodeProject.load(str(app / PROJECT))
    return {each.get_id(): each for each in project.objects.get_objects_in_section(*project.objects.get_sections())}


def of_kind(objects: dict[str, Any], kind: str) -> list[Any]:
    return [each for each in objects.values() if each["isa"] == kind]


def test_all_that_the_project_names_is_there(app: Path, objects: dict[str, Any]) -> None:
    text = (app / PROJECT).read_text(encoding="utf-8")
    assert set(re.findall(r"\b[0-9A-F]{24}\b", text)) == set(objects)
    files = [each["path"] for each in of_kind(objects, "PBXFileReference") if each["sourceTree"] == "<group>"]
    groups = {each["path"]: each for each in of_kind(objects, "PBXFileSystemSynchronizedRootGroup")}
    (package,) = of_kind(objects, "XCLocalSwiftPackageReference")
    assert files == ["Models"]
    assert set(groups) == {"App", "CoreML"}
    for name in (*files, *groups):
        assert (app / name).is_dir()
    for exception in groups["CoreML"]["exceptions"]:
        for name in objects[exception]["membershipExceptions"]:
            assert (app / "CoreML" / name).is_file()
    manifest = (app / package["relativePath"] / "Package.swift").read_text(encoding="utf-8")
    (product,) = of_kind(objects, "XCSwiftPackageProductDependency")
    assert f'.library(name: "{product["productName"]}"' in manifest


def test_the_target_has_the_screens_the_models_and_the_runtime(app: Path, objects: dict[str, Any]) -> None:
    (target,) = of_kind(objects, "PBXNativeTarget")
    groups = {objects[each]["path"] for each in target["fileSystemSynchronizedGroups"]}
    assert groups == {"App", TEMPLATES["ios"].compiled}
    phases = {objects[each]["isa"]: objects[each] for each in target["buildPhases"]}
    (models,) = phases["PBXResourcesBuildPhase"]["files"]
    reference = objects[objects[models]["fileRef"]]
    # A reference to a folder, not a group: its tree stays as it is.
    assert (reference["path"], reference["lastKnownFileType"]) == (TEMPLATES["ios"].models, "folder")
    (linked,) = phases["PBXFrameworksBuildPhase"]["files"]
    assert [objects[linked]["productRef"]] == list(target["packageProductDependencies"])
    packages = {path.name for path in (app / "CoreML").iterdir()}
    assert packages == {"README.md", "mobilevitv2-digits-coreml-fp16.mlpackage"}
    # The runner asks for what Xcode makes of a package by the name of the artifact's folder.
    assert (app / "Models" / "mobilevitv2-digits-coreml-fp16" / "manifest.json").is_file()


def test_the_settings_have_the_apps_id_and_name(app: Path, objects: dict[str, Any]) -> None:
    (target,) = of_kind(objects, "PBXNativeTarget")
    (project,) = of_kind(objects, "PBXProject")
    for name, wanted in (
        (
            target,
            {
                "PRODUCT_BUNDLE_IDENTIFIER": OWN_ID,
                "COREML_CODEGEN_LANGUAGE": "None",
                "OTHER_LDFLAGS": "-all_load",
                "ASSETCATALOG_COMPILER_APPICON_NAME": "AppIcon",
                # ExecuTorch has libraries for devices and Apple silicon.
                "EXCLUDED_ARCHS[sdk=iphonesimulator*]": "x86_64",
            },
        ),
        (project, {"SWIFT_VERSION": "6.0", "IPHONEOS_DEPLOYMENT_TARGET": "17.0"}),
    ):
        for each in objects[name["buildConfigurationList"]]["buildConfigurations"]:
            settings = objects[each]["buildSettings"]
            assert {key: settings[key] for key in wanted} == wanted
            if name is target:
                assert "camera" in settings["INFOPLIST_KEY_NSCameraUsageDescription"]
                shown = settings["INFOPLIST_KEY_CFBundleDisplayName"]
                assert shown.replace('\\"', '"').replace("\\\\", "\\") == OWN_NAME
    for file in (path for path in app.rglob("*") if path.is_file() and path.suffix in {".pbxproj", ".swift"}):
        text = file.read_text(encoding="utf-8")
        assert APP_ID not in text, file
        assert NAME not in text, file


def test_the_icon_is_what_the_catalogue_names(app: Path) -> None:
    catalogue = app / "App" / "Assets.xcassets"
    assert json.loads((catalogue / "Contents.json").read_text())["info"]["version"] == 1
    (image,) = json.loads((catalogue / "AppIcon.appiconset" / "Contents.json").read_text())["images"]
    assert (image["idiom"], image["platform"], image["size"]) == ("universal", "ios", "1024x1024")
    file = catalogue / "AppIcon.appiconset" / image["filename"]
    with Image.open(file) as icon:
        # The App Store refuses an alpha channel.
        assert (icon.format, icon.size, icon.mode) == ("PNG", (1024, 1024), "RGB")
    assert file.stat().st_size < 10_000


def test_the_privacy_manifest_gives_the_reasons_that_apple_asks_for(app: Path) -> None:
    record = plistlib.loads((app / "App" / "PrivacyInfo.xcprivacy").read_bytes())
    assert (record["NSPrivacyTracking"], record["NSPrivacyCollectedDataTypes"]) == (False, [])
    reasons = {
        each["NSPrivacyAccessedAPIType"]: each["NSPrivacyAccessedAPITypeReasons"]
        for each in record["NSPrivacyAccessedAPITypes"]
    }
    assert reasons == {"NSPrivacyAccessedAPICategoryUserDefaults": ["CA92.1"]}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in app.rglob("*.swift"))
    assert "UserDefaults" in sources
    # Other interfaces that need a reason: files' dates, the disk's space, the time since the start, keyboards.
    assert not re.findall(r"contentModificationDate|creationDate|volumeAvailable|systemUptime|mach_absolute", sources)


def test_the_scheme_runs_the_target(app: Path, objects: dict[str, Any]) -> None:
    (target,) = (key for key, each in objects.items() if each["isa"] == "PBXNativeTarget")
    text = (app / SCHEME).read_text(encoding="utf-8")
    blueprints, containers = (
        re.findall(rf'{key} = "(.*)"', text) for key in ("BlueprintIdentifier", "ReferencedContainer")
    )
    assert blueprints == [target] * 3
    assert [(app / each.removeprefix("container:")).is_dir() for each in containers] == [True] * 3


def test_the_same_app_comes_out_twice(app: Path, digits: Export, tmp_path: Path) -> None:
    bundle([digits[name] for name in CHOSEN], BundleOptions("ios", tmp_path / "app", OWN_ID, OWN_NAME))
    first, second = (
        {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        for place in (app, tmp_path / "app")
    )
    assert len(first) > 40
    assert first == second


def test_execu_torch_is_fetched_only_for_a_file_of_it(app: Path, digits: Export, tmp_path: Path) -> None:
    package = "MobileKitRuntime/Package.swift"
    assert "let usesExecuTorch = true\n" in (app / package).read_text(encoding="utf-8")
    bundle([digits["coreml-fp16"]], BundleOptions("ios", tmp_path / "app"))
    text = (tmp_path / "app" / package).read_text(encoding="utf-8")
    assert "let usesExecuTorch = false\n" in text
    assert text.count("usesExecuTorch") == (TEMPLATE / package).read_text(encoding="utf-8").count("usesExecuTorch")


def test_no_constant_of_a_model_is_in_the_app() -> None:
    """Sizes, means, names of outputs: the manifest has them."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (TEMPLATE / "App").glob("*.swift"))
    assert not re.findall(
        r"0\.485|0\.229|0\.5,|\b(?:224|256|288|384)\b|\"(?:logits|probabilities|mask|pixel_values)\"", text
    )


def test_the_app_type_checks_where_linux_has_the_interfaces(swift: App, apples: str) -> None:
    library = ("-emit-module", "-parse-as-library", "-wmo", "-module-name", "MobileKitRuntime", "-I", apples)
    assert not swift.swiftc(*library, *STRICT, *sources(swift), "-o", f"{apples}/MobileKitRuntime.swiftmodule")
    place = Path(shutil.copytree(TEMPLATE / "App", swift.folder / "App"))
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(place.glob("*.swift"))}
    inside = {name: str(JOB / "App" / name) for name in files}
    assert not swift.swiftc("-frontend", "-parse", "-swift-version", "6", *inside.values())
    checked = [inside[name] for name, text in files.items() if not any(each in text for each in APPLES)]
    assert len(checked) == 6
    command = ("-typecheck", "-parse-as-library", *STRICT, "-I", apples, *checked)
    assert not swift.swiftc(*command)
    (swift.folder / "usage.swift").write_text(shown(README, "swift"), encoding="utf-8")
    assert not swift.swiftc("-typecheck", *STRICT, "-I", apples, str(JOB / "usage.swift"))
    # Data races are errors.
    unbound = files["SelfTest.swift"].replace("@MainActor ", "")
    (place / "SelfTest.swift").write_text(unbound, encoding="utf-8")
    assert "main actor-isolated property" in swift.swiftc(*command)
