"""The Android app around its runtime module: sources, resources, and what compiles them with stubs of AndroidX."""

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.apps.kotlin_app import HERE, MODULE
from tests.exports import ROOT

APP = ROOT / "sample_apps/android/app"
MAIN = APP / "src/main"
CODE = sorted((MAIN / "kotlin").rglob("*.kt"))
RESOURCES = sorted((MAIN / "res").rglob("*.xml"))
# Names that the interfaces of API 23, which the code is compiled against here, lack, and others of their type.
NEWER = {"VERSION_CODES.S": "VERSION_CODES.M"}


def elements(path: Path) -> ElementTree.Element:
    """Parse one of our own XML files."""
    return ElementTree.fromstring(path.read_bytes())  # noqa: S314 - nobody else's


def resources() -> Mapping[str, set[str]]:
    """Return the names of the resources, by type."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in RESOURCES:
        kind = path.parent.name.partition("-")[0]
        if kind == "values":
            for element in elements(path):
                found[element.tag].add(element.attrib["name"])
        else:
            found[kind].add(path.stem)
    return found


def sources(folder: Path) -> Iterator[Path]:
    """Yield what is compiled: the app, the runtime module, the harness, stubs, and R, which is written to a folder."""
    yield from sorted(MODULE.glob("*.kt"))
    yield HERE / "stubs/LiteRt.kt"
    yield from sorted((HERE / "stubs/android_app").glob("*.kt"))
    yield HERE / "kotlin/app/AppHarness.kt"
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        older = text
        for name, other in NEWER.items():
            older = older.replace(name, other)
        if older != text:
            path = folder / path.name
            path.write_text(older, encoding="utf-8")
        yield path
    yield _write_r(folder / "R.kt")


def _write_r(path: Path) -> Path:
    """Write the class that Android's tools make of the resources."""
    lines = ["package mobilekit.app", "", "object R {"]
    for kind, names in sorted(resources().items()):
        # A style's name has dots, and no code names one here.
        constants = [
            f"        const val {name} = {number}" for number, name in enumerate(sorted(names)) if "." not in name
        ]
        lines += [f"    object {kind} {{", *constants, "    }"]
    path.write_text("\n".join([*lines, "}", ""]))
    return path
