"""An APK for arm64 phones: the Android app's module with ExecuTorch and a model, signed and verified."""

import json
import shutil
import struct
import time
import zipfile
from pathlib import Path

from tests.apps.kotlin_apk import ACTIVITY, LEAST_SDK, PACKAGE, Tools, assemble
from tests.apps.kotlin_app import App
from tests.apps.kotlin_toolchain import apk_tools
from tests.exports import Export
from tests.packages import or_skip

ARM64 = 183  # e_machine of an ELF file


def test_an_apk_with_executorch_is_signed_and_whole(kotlin: App, digits: Export, tmp_path: Path) -> None:
    tools = Tools(or_skip(apk_tools))
    models = tmp_path / "assets/models"
    artifact = Path(shutil.copytree(digits["executorch-xnnpack-fp32"], models / "digits"))
    index = {"folder": "digits", "title": "digits", "least_sqnr_db": {"logits": 30.0}}
    (models / "models.json").write_text(json.dumps({"schema_version": 1, "models": [index]}))

    start = time.perf_counter()
    apk = assemble(kotlin, tools, tmp_path / "assets", tmp_path)
    print(f"assembled in {time.perf_counter() - start:.1f} s, {apk.stat().st_size / 1e6:.1f} MB")

    said = tools.apksigner("verify", "--verbose", "--min-sdk-version", str(LEAST_SDK), apk)
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in said
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in said
    tools.zipalign("-c", "-p", "4", apk)
    badging = tools.aapt2("dump", "badging", apk)
    assert f"package: name='{PACKAGE}'" in badging
    assert f"launchable-activity: name='{ACTIVITY}'" in badging
    assert "native-code: 'arm64-v8a'" in badging
    with zipfile.ZipFile(apk) as archive:
        model = archive.getinfo("assets/models/digits/model.pte")
        assert model.compress_type == zipfile.ZIP_STORED
        assert archive.read(model) == (artifact / "model.pte").read_bytes()
        library = archive.read("lib/arm64-v8a/libexecutorch.so")
        assert library[:4] == b"\x7fELF"
        assert struct.unpack_from("<H", library, 18) == (ARM64,)
        code = archive.read("classes.dex")
        for name in ("mobilekit/ExecuTorchRunner", "org/pytorch/executorch/Module", "harness/SelfTestActivity"):
            assert f"L{name};".encode() in code
