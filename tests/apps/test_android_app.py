"""The Android app, as far as it can be judged without Gradle and AndroidX: its types, resources and bundles."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_kit.apps.bundle import BundleOptions, bundle
from mobile_kit.apps.templates import APP_ID, NAME
from tests.apps.android_app import APP, CODE, MAIN, RESOURCES, elements, resources
from tests.apps.kotlin_apk import Tools
from tests.apps.kotlin_app import MODULE, App, write_artifact
from tests.apps.kotlin_toolchain import apk_tools, toolchain
from tests.packages import or_skip

MOST_LINES = 200
ANDROID = "{http://schemas.android.com/apk/res/android}"
MANIFEST = MAIN / "AndroidManifest.xml"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models: three that can be run, a broken one, one that is missing, another platform's."""
    outputs = [{"name": "logits", "shape": [1, 3], "dtype": "float32", "golden": "logits.bin", "meaning": "logits"}]
    image = {"name": "image", "shape": [1, 32, 32, 3], "dtype": "uint8", "golden": "image.bin"}
    common: dict[str, Any] = {"inputs": [image], "outputs": outputs}
    (tmp_path / "model").mkdir()
    write_artifact(tmp_path / "digits", **common)
    (tmp_path / "digits/image.bin").write_bytes(bytes(32 * 32 * 3))
    write_artifact(
        tmp_path / "scenes", model={"head": "segmentation"}, target="executorch", backend="xnnpack", **common
    )
    write_artifact(tmp_path / "features", model={"head": "backbone"}, **common)
    write_artifact(tmp_path / "apple", target="coreml", **common)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/manifest.json").write_text("{")
    names = ("broken", "digits", "gone", "scenes", "features", "apple")
    entries = [{"folder": name, "title": f"the {name}", "least_sqnr_db": {"logits": 30}} for name in names]
    (tmp_path / "models.json").write_text(json.dumps({"schema_version": 1, "models": entries}))
    return tmp_path


def ask(app: App, command: str, folder: Path) -> Any:
    return json.loads(app.tools.run(app.jar, "harness.app.AppHarnessKt", command, folder))


def test_a_torn_source_is_found(tmp_path: Path) -> None:
    """Else all that compiles would prove nothing."""
    whole = next(path for path in CODE if path.name == "MainActivity.kt").read_text(encoding="utf-8")
    torn = tmp_path / "MainActivity.kt"
    torn.write_text(whole.rstrip().removesuffix("}"), encoding="utf-8")
    ended = or_skip(toolchain).compile([torn], tmp_path / "torn.jar")
    assert ended.returncode != 0
    assert "MainActivity.kt" in ended.stderr
    assert "syntax error" in ended.stderr


def test_a_broken_model_is_one_line_and_the_others_stay(kotlin: App, models: Path) -> None:
    said = ask(kotlin, "models", models)
    assert said["usable"] == [
        ["the digits", "CLASSES", ["CPU", "GPU"]],
        ["the scenes", "MAP", ["xnnpack"]],
        ["the features", "FEATURES", ["CPU", "GPU"]],
    ]
    broken, gone, apple = said["faults"]
    assert broken.startswith("broken/manifest.json: isn't as the kit writes it")
    assert gone == "gone/manifest.json: is missing from the app or can't be read. Bundle the app again."
    assert apple == "apple: coreml doesn't run on Android. Export tflite."
    assert all("\n" not in line for line in said["faults"])


def test_no_models_at_all_is_one_line(kotlin: App, tmp_path: Path) -> None:
    line = "models.json: is missing from the app or can't be read. Bundle the app again."
    assert ask(kotlin, "models", tmp_path) == {"usable": [], "faults": [line]}


def test_a_model_that_can_not_run_is_told_for_every_unit(kotlin: App, models: Path) -> None:
    said = ask(kotlin, "failures", models)
    assert len(said["tested"]) == 5
    for line in (said["answer"], *said["tested"]):
        assert line
        assert "\n" not in line
    assert said["dropped"] is False
    assert said["memory"] == "This phone has not enough memory for it. Close other apps."


def test_a_self_test_that_ends_the_app_is_not_begun_at_each_start(kotlin: App, tmp_path: Path) -> None:
    assert ask(kotlin, "first launch", tmp_path) == [True, True, False, True]


def test_an_answer_belongs_to_the_choice_it_was_made_for(kotlin: App, models: Path) -> None:
    assert ask(kotlin, "choices", models) == {
        "units": ["CPU", "GPU"],
        "answered": 1,
        "cleared": True,
        "failed": "why not",
        "chosen_after": 0,
        "chosen_before": 0,
    }


def test_a_photo_is_answered_once_by_itself(kotlin: App, models: Path) -> None:
    """So that the app shows the right answer of its golden photo at once, and no failure again and again."""
    said = ask(kotlin, "photos", models)
    assert {name for name, awaits in said.items() if awaits} == {"opened", "failed, chosen", "picked"}
    assert len(said) == 8


def test_a_model_stays_unloaded_until_the_user_goes_on(kotlin: App, models: Path) -> None:
    """Else the camera's next frame would take the memory again at once."""
    assert ask(kotlin, "memory", models) == {
        "awaits": False,
        "answered": True,
        "failed": True,
        "chosen": False,
        "picked": False,
        "begun": False,
        "one at a time": True,
    }


def test_results_of_several_models_stay_and_the_fastest_comes_first(kotlin: App, models: Path) -> None:
    assert ask(kotlin, "ranking", models) == [
        ["the digits", "CPU", 2, 5, True],
        ["the features", "CPU", 3, 5, True],
        ["the digits", "GPU", 4, 5, True],
    ]


def test_a_benchmark_ends_after_the_call_that_it_is_at(kotlin: App, tmp_path: Path) -> None:
    line = "The benchmark was stopped. Run it again for its figures."
    assert ask(kotlin, "stopped", tmp_path) == {"calls": 1, "closed": True, "fault": line}


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_frame_is_turned_upright(kotlin: App, degrees: int, tmp_path: Path) -> None:
    """Rows are padded, the last one not, as cameras give them."""
    height, width, stride = 3, 5, 32
    pixels = np.random.default_rng(degrees).integers(0, 256, (height, width, 4), np.uint8)
    rows = np.zeros((height, stride), np.uint8)
    rows[:, : width * 4] = pixels.reshape(height, -1)
    (tmp_path / "frame.bin").write_bytes(rows.tobytes()[: stride * (height - 1) + width * 4])
    write_frame(tmp_path, width=width, height=height, row_stride=stride, rotation=degrees)
    said = ask(kotlin, "frame", tmp_path)
    upright = np.rot90(pixels, -degrees // 90).astype(np.int64)
    packed = (255 << 24) | (upright[..., 0] << 16) | (upright[..., 1] << 8) | upright[..., 2]
    assert tuple(said["size"]) == packed.shape
    np.testing.assert_array_equal(np.array(said["argb"]) & 0xFFFFFFFF, packed.ravel())


def test_a_frame_that_is_not_rgba_is_refused(kotlin: App, tmp_path: Path) -> None:
    (tmp_path / "frame.bin").write_bytes(bytes(12))
    write_frame(tmp_path, width=2, height=2, row_stride=2, pixel_stride=1)
    assert ask(kotlin, "frame", tmp_path) == {"fault": "camera: gives no RGBA. Pick a photo instead."}


def write_frame(folder: Path, **record: int) -> None:
    (folder / "frame.json").write_text(json.dumps({"pixel_stride": 4, "rotation": 0, **record}))


def test_sources_are_short_and_can_not_crash_by_choice() -> None:
    module = sorted(MODULE.glob("*.kt"))
    assert (len(CODE) > 15, len(module) > 10) == (True, True)
    for path in (*CODE, *module):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < MOST_LINES, path.name
        assert max(map(len, lines)) <= 120, path.name
        folders = path.parent.parts
        assert lines[0] == "package " + ".".join(folders[folders.index("kotlin") + 1 :]), path.name
        code = "\n".join(line for line in lines if not line.lstrip().startswith(("//", "*", "/*")))
        for word in ("!!", "lateinit", "runBlocking", "GlobalScope"):
            assert word not in code, (path.name, word)


def test_texts_stand_in_resources() -> None:
    for path in CODE:
        for call in re.findall(r'\b(?:Text|Picker)\(\s*"[^"]*"', path.read_text(encoding="utf-8")):
            pytest.fail(f"{path.name}: {call}")


def test_every_xml_is_well_formed() -> None:
    assert len(RESOURCES) > 8
    for path in (*RESOURCES, MANIFEST):
        assert path.read_text(encoding="utf-8").startswith("<?xml"), path.name
        assert elements(path).tag, path.name


def test_androids_own_tool_takes_the_resources(tmp_path: Path) -> None:
    interfaces = or_skip(toolchain).android
    android = Tools(or_skip(apk_tools))
    # Gradle fills these in.
    merged = MANIFEST.read_text(encoding="utf-8").replace("${applicationId}", APP_ID)
    (tmp_path / "AndroidManifest.xml").write_text(merged.replace("<manifest ", '<manifest package="mobilekit.app" '))
    android.aapt2("compile", "--dir", MAIN / "res", "-o", tmp_path / "res.zip")
    link = ("--manifest", tmp_path / "AndroidManifest.xml", "-I", interfaces, "--min-sdk-version", "26")
    android.aapt2("link", *link, "-o", tmp_path / "app.apk", "--java", tmp_path, tmp_path / "res.zip")
    badging = android.aapt2("dump", "badging", tmp_path / "app.apk")
    # Phones and tablets without a back camera take the app too.
    assert "uses-implied-feature: name='android.hardware.camera" not in badging
    assert "uses-feature-not-required: name='android.hardware.camera'" in badging
    constants = re.findall(r"int (\w+)=", (tmp_path / "mobilekit/app/R.java").read_text())
    assert sorted(constants) == sorted(name.replace(".", "_") for names in resources().values() for name in names)


def test_every_resource_is_there_and_every_one_is_used() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (*CODE, *RESOURCES, MANIFEST)]
    used = {each for text in texts for each in re.findall(r"(?<![\w:])(?:R\.|@)(\w+)[./]([\w.]+)", text)}
    known = {(kind, name) for kind, names in resources().items() for name in names}
    used = {(kind, name) for kind, name in used if kind in resources()}
    assert used == known


def test_every_text_has_the_arguments_that_it_is_given() -> None:
    texts = {e.attrib["name"]: e.text or "" for e in elements(MAIN / "res/values/strings.xml")}
    code = "".join(path.read_text(encoding="utf-8") for path in CODE)
    # Calls without calls among their arguments, of which there are enough.
    calls = re.findall(r"[sS]tring(?:Resource)?\(\s*R\.string\.(\w+)((?:,[^,()]+)*)\)", code)
    assert len(calls) > 20
    for name, given in calls:
        places = set(re.findall(r"%(\d)\$", texts[name]))
        assert places == {str(n + 1) for n in range(len([each for each in given.split(",") if each.strip()]))}, name


def test_the_manifest_names_what_is_there() -> None:
    application = elements(MANIFEST).find("application")
    assert application is not None
    names = [element.attrib[f"{ANDROID}name"] for tag in ("activity", "provider") for element in application.iter(tag)]
    (space,) = re.findall(r'namespace = "([\w.]+)"', (APP / "build.gradle.kts").read_text())
    own = {f"{space}{name}" if name.startswith(".") else name for name in names}
    declared = set()
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        (package,) = re.findall(r"^package ([\w.]+)$", text, re.M)
        declared |= {f"{package}.{name}" for name in re.findall(r"^class (\w+)", text, re.M)}
    assert own - declared == {"androidx.core.content.FileProvider"}
    # Where results lie, and what may be read of them.
    (shared,) = elements(MAIN / "res/xml/shared.xml")
    assert shared.attrib["path"] == "results/"
    code = (MAIN / "kotlin/mobilekit/app/Sharing.kt").read_text(encoding="utf-8")
    assert 'RESULTS = "results"' in code
    assert '"$packageName.results"' in code
    assert application.findall("provider")[0].attrib[f"{ANDROID}authorities"] == "${applicationId}.results"


def test_id_and_name_stand_once_each() -> None:
    assert (APP / "build.gradle.kts").read_text().count(APP_ID) == 1
    assert (MAIN / "res/values/strings.xml").read_text(encoding="utf-8").count(NAME) == 1


def test_nothing_is_binary() -> None:
    for path in APP.parent.rglob("*"):
        if path.is_file():
            assert "\0" not in path.read_text(encoding="utf-8"), path


def test_a_bundle_has_its_names_and_models_and_comes_out_the_same(paper_artifact: Path, tmp_path: Path) -> None:
    # What is copied doesn't hang on the target, and an export for phones takes minutes.
    artifact = Path(shutil.copytree(paper_artifact, tmp_path / "digits/phone"))
    manifest = json.loads((artifact / "manifest.json").read_text())
    (artifact / "manifest.json").write_text(json.dumps({**manifest, "target": "tflite"}))
    made = []
    for place in (tmp_path / "one", tmp_path / "two"):
        bundle([artifact], BundleOptions("android", place, "com.example.digits", 'Ziffern & "mehr"'))
        made.append({str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    files = made[0]
    assert b'applicationId = "com.example.digits"' in files["app/build.gradle.kts"]
    strings = {e.attrib["name"]: e.text for e in elements(tmp_path / "two/app/src/main/res/values/strings.xml")}
    assert strings["app_name"] == 'Ziffern & \\"mehr\\"'
    models = "app/src/main/assets/models"
    (entry,) = json.loads(files[f"{models}/models.json"])["models"]
    for name in ("manifest.json", "labels.txt", "golden/photo.png", manifest["model_file"]):
        assert files[f"{models}/{entry['folder']}/{name}"] == (artifact / name).read_bytes()
    assert {str(path.relative_to(APP.parent)) for path in (*CODE, *RESOURCES, MANIFEST)} <= set(files)
    # Where the app looks for them.
    assert 'app.assets.open("models/$it")' in files["app/src/main/kotlin/mobilekit/app/AppViewModel.kt"].decode()
