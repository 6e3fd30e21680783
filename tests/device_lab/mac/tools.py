"""xcrun, devicectl and xcodebuild, as far as coremltools and the kit ask them: `python tools.py NAME ARGUMENT..`.

STANDIN_PHONE is a folder: `bin` has them by their names, phone.json is what the phone says of itself, `app` is its
app's data, `calls` has a line for every call. With a file `unplugged` in it, the phone is gone.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

PHONE = Path(os.environ["STANDIN_PHONE"])
# The real one fails at once, and is asked again half a second later.
ANSWER_S = 0.3


def option(arguments: list[str], *names: str) -> str:
    """Return an option's value, given behind it or behind an equals sign."""
    for place, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if key in names:
            return value if equals else arguments[place + 1]
    raise SystemExit(f"ERROR: {names[0]} is missing")


def answer(arguments: list[str], result: dict[str, object]) -> None:
    """Write the JSON file that was asked for."""
    Path(option(arguments, "-j", "--json-output")).write_text(json.dumps({"result": result}))


def copied(source: Path, target: Path) -> None:
    """Copy a file or folder, whole or not at all."""
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, part)
    part.rename(target)


def details(arguments: list[str]) -> None:
    """Asked for its details, a phone's tunnel comes up."""
    phone = json.loads((PHONE / "phone.json").read_text())
    for each in (each for each in phone if each["identifier"] == option(arguments, "-d", "--device")):
        each["connectionProperties"]["tunnelState"] = "connected"
    (PHONE / "phone.json").write_text(json.dumps(phone))


def app() -> str:
    """Return what the app that was built is called, empty where there is none."""
    return (PHONE / "name").read_text() if (PHONE / "name").exists() else ""


def install(arguments: list[str]) -> None:
    (PHONE / "installed").touch()
    answer(arguments, {"installedApplications": [{"bundleID": app(), "databaseUUID": "1"}]})


def uninstall(arguments: list[str]) -> None:
    if arguments[-1] != app():
        raise SystemExit("ERROR: no such app")
    (PHONE / "installed").unlink()
    for path in PHONE.glob("running-*"):
        path.unlink()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.name.partition("-")[2]), signal.SIGKILL)


def launch(arguments: list[str]) -> None:
    (PHONE / f"running-{os.getpid()}").touch()
    program = str(Path(__file__).with_name("app.py"))
    os.execv(sys.executable, [sys.executable, program, str(PHONE / "app/Documents/modelrunnerd")])  # noqa: S606


def copy_to(arguments: list[str]) -> None:
    source, target = option(arguments, "--source"), option(arguments, "--destination")
    copied(Path(source), PHONE / "app" / target)
    answer(arguments, {"source": source, "destination": target})


def copy_from(arguments: list[str]) -> None:
    source, target = option(arguments, "--source"), option(arguments, "--destination")
    end = time.monotonic() + ANSWER_S
    while not (PHONE / "app" / source).exists() and time.monotonic() < end:
        time.sleep(0.01)
    if not (PHONE / "app" / source).exists():
        raise SystemExit("ERROR: The specified file could not be found. (error 7000)")
    copied(PHONE / "app" / source, Path(target))
    answer(arguments, {"source": source, "destination": target})


VERBS = {
    "device info details": details,
    "device install app": install,
    "device uninstall app": uninstall,
    "device process launch": launch,
    "device copy to": copy_to,
    "device copy from": copy_from,
}


def devicectl(arguments: list[str]) -> None:
    phone = json.loads((PHONE / "phone.json").read_text())
    gone = (PHONE / "unplugged").exists()
    if arguments[:2] == ["list", "devices"]:
        answer(arguments, {"devices": [] if gone else phone})
        return
    if gone:
        raise SystemExit(
            "ERROR: The device was disconnected. (com.apple.dt.CoreDeviceError error 4000)\n"
            "       NSLocalizedFailureReason = The cable was pulled.\n       NSURL = file:///x"
        )
    if option(arguments, "-d", "--device") not in [each["identifier"] for each in phone]:
        raise SystemExit("ERROR: no such device")
    verb = " ".join(arguments[:3])
    if verb not in VERBS:
        raise SystemExit(f"ERROR: unknown: {verb}")
    VERBS[verb](arguments)


def xcodebuild(arguments: list[str]) -> None:
    """Make the app's folder."""
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if settings["DEVELOPMENT_TEAM"] == "UNKNOWN000":
        print('ModelRunner.xcodeproj: error: No Account for Team "UNKNOWN000".\n** BUILD FAILED **')
        raise SystemExit(65)
    (PHONE / "name").write_text(settings["PRODUCT_BUNDLE_IDENTIFIER"])
    Path(settings["SYMROOT"], "Release-iphoneos/modelrunner.app").mkdir(parents=True)


def main(name: str, arguments: list[str]) -> None:
    with (PHONE / "calls").open("a") as stream:
        stream.write(json.dumps([name, *arguments]) + "\n")
    if name == "xcrun" and arguments[0] == "--find":
        print(PHONE / "bin" / arguments[1])
    elif name == "xcrun":
        main(arguments[0], arguments[1:])
    elif name == "devicectl":
        devicectl(arguments)
    elif arguments == ["-version"]:
        print((PHONE / "xcode").read_text())
    else:
        xcodebuild(arguments)


main(sys.argv[1], sys.argv[2:])
