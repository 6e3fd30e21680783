"""A package that is broken says so in one line, and takes nothing else with it."""

import os
from pathlib import Path

import pytest

from mobile_kit.errors import UnsupportedError
from mobile_kit.plugins import plugins

GROUP = "mobile_kit.tests"
MODULES = {
    "good": "VALUE = 3\n",
    "torn": "import a_package_that_nobody_has\n",
    "wordy": "raise ValueError('two\\nlines.')\n",
    "leaving": "import sys\nsys.exit('no')\n",
}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    for name, code in MODULES.items():
        (tmp_path / f"plugin_{name}.py").write_text(code)
    lines = [f"{name} = plugin_{name}:VALUE" for name in MODULES]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)


def test_plugins_are_found_in_order_and_none_is_imported() -> None:
    assert [plugin.name for plugin in plugins(GROUP)] == sorted(MODULES)
    assert {plugin.package for plugin in plugins(GROUP)} == {"others"}


def test_one_that_is_right_is_loaded() -> None:
    assert plugins(GROUP)[0].load("number", int) == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torn", "can't be imported (No module named 'a_package_that_nobody_has')"),
        ("wordy", "can't be imported (two lines)"),
        ("leaving", "can't be imported (no)"),
    ],
)
def test_one_that_is_broken_is_an_error_of_one_line(name: str, reason: str) -> None:
    (plugin,) = (each for each in plugins(GROUP) if each.name == name)
    with pytest.raises(UnsupportedError) as caught:
        plugin.load("number", int)
    assert str(caught.value) == f"number {name!r} of others: {reason}. Mend or uninstall that package."
    assert os.linesep not in str(caught.value)


def test_one_of_another_class_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"number 'good' of others: plugin_good:VALUE is no builtins\.str\."):
        plugins(GROUP)[0].load("number", str)
