"""What an artifact's files are called is a promise to apps and to older artifacts."""

from fnmatch import fnmatch

import pytest

from mobile_kit.artifacts import layout


def test_the_names_are_those_that_artifacts_have() -> None:
    assert (layout.MANIFEST, layout.LABELS, layout.VERIFY) == ("manifest.json", "labels.txt", "verify.json")
    assert (layout.PHOTO, layout.ORACLE_FILE) == ("golden/photo.png", "golden/oracle.json")
    assert layout.SCENES_FILE == "golden/scenes.npz"
    assert (layout.SCORES, layout.ANSWERS) == ("evaluation.json", "evaluation.jsonl")
    assert layout.tensor_file(layout.INPUTS, "image") == "golden/inputs/image.bin"
    assert layout.tensor_file(layout.OUTPUTS, "logits") == "golden/outputs/logits.bin"


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("host", "profile-host.json"),
        ("adb:R5CT_1", "profile-adb-R5CT_1.json"),
        ("ssh:../../etc", "profile-ssh-..-..-etc.json"),
        ("ssh:a b/c", "profile-ssh-a-b-c.json"),
    ],
)
def test_a_device_s_results_stay_in_the_folder(device: str, name: str) -> None:
    assert layout.profile_name(device) == name
    assert fnmatch(name, layout.PROFILES)
    assert "/" not in name


@pytest.mark.parametrize(
    ("runtime", "name"),
    [
        (None, "verify.json"),
        ("tflite-runtime==2.14.0", "verify-tflite-runtime-2.14.0.json"),
        ("../x", "verify-..-x.json"),
    ],
)
def test_another_runtime_s_verification_has_a_file_of_its_own(runtime: str | None, name: str) -> None:
    assert layout.verify_name(runtime) == name
