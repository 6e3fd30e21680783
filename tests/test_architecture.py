"""The rules of README's Design section, read from the source itself."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Top to bottom; a room imports from the lines below its own alone, and none from another of its line.
LAYERS = (
    "__main__",
    "cli",
    "demo doctor",
    "profiling apps exporting",
    "reporting evaluation",
    "artifacts",
    "target_api",
    "quantization checkpoints",
    "preprocessing",
    "models measurements progress",
    "plugins records whole_file",
    "reading",
    "errors",
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
# Of what is below the targets, what they may import: rooms, and modules.
FOR_TARGETS = {"errors", "models", "measurements", "reading", "target_api"}
MODULES_FOR_TARGETS = {"mobile_kit.quantization.parts", "mobile_kit.quantization.recipes"}
TOOLCHAINS = {
    "ai_edge_litert": "tflite",
    "ai_edge_quantizer": "tflite",
    "coremltools": "coreml",
    "executorch": "executorch",
    "litert_torch": "tflite",
    "tflite_runtime": "tflite",
}
# Where the Hub and its libraries may be imported.
HUB = {"huggingface_hub": ("checkpoints",), "transformers": ("checkpoints", "models")}
# Tests stand on their own one by one, so a file of them may be longer.
MAX_FILE_LINES, MAX_TEST_LINES, MAX_FUNCTION_LINES = 400, 500, 40
TEXT = {".gradle", ".java", ".json", ".kt", ".md", ".py", ".swift", ".toml", ".txt", ".xml", ".yaml", ".yml"}

CODE = sorted(path for folder in ("mobile_kit", "targets") for path in (ROOT / folder).rglob("*.py"))
ALL_CODE = sorted(
    path for folder in ("mobile_kit", "sample_apps", "targets", "tests") for path in (ROOT / folder).rglob("*.py")
)
TARGETS = sorted(path.parent.name for path in (ROOT / "targets").glob("*/__init__.py"))


# What is exempt from a rule by design, with the reason.
NEEDS_SAMPLE_APPS = {
    "mobile_kit/apps/templates.py": "the templates of the apps are copied from where sample_apps is installed",
    "mobile_kit/demo.py": "the demo's held-out views come from sample_apps.checkpoints.digits",
}
NEEDS_COREMLTOOLS = {
    "targets/executorch/lower.py": "ExecuTorch's Core ML partitioner takes coremltools' own enumerations"
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each_module(exempt: Mapping[str, str]) -> pytest.MarkDecorator:
    paths = [path for path in CODE if name_of(path) not in exempt]
    return pytest.mark.parametrize("path", paths, ids=[name_of(path) for path in paths])


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, as a full dotted name with the imported names behind it."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = (
                ".".join((*package[: len(package) - node.level + 1], node.module or "")) if node.level else node.module
            )
            yield from (f"{start}.{alias.name}".replace("..", ".") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def kit_rooms(path: Path) -> set[str]:
    """The rooms of mobile_kit that a file imports from; the package's own names (its version) aside."""
    named = (name.split(".")[1] for name in imports(path) if name.startswith("mobile_kit."))
    return {name for name in named if not name.startswith("__")}


def room(path: Path) -> str:
    """`checkpoints` for mobile_kit/checkpoints/load.py and `families` for all in mobile_kit/families/."""
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def test_imports_are_seen_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules below hold only as far as `imports` sees."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "mobile_kit" / "families" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import a.b as c\nfrom d import e\nfrom . import f\nfrom ..g import h\n"
        "def run():\n    import i\n    importlib.import_module('j.k')\nif 0:\n    from l.m import n\n"
    )
    assert set(imports(path)) == {"a.b", "d.e", "mobile_kit.families.f", "mobile_kit.g.h", "i", "j.k", "l.m.n"}


def test_every_room_has_its_line() -> None:
    found = {room(path) for path in CODE if path.is_relative_to(ROOT / "mobile_kit")} - {"__init__"}
    assert found <= RANK.keys(), "give the new room its line in LAYERS"


@pytest.mark.parametrize(
    "path", [path for path in CODE if path.is_relative_to(ROOT / "mobile_kit") and room(path) in RANK], ids=name_of
)
def test_a_room_imports_only_from_the_lines_below_it(path: Path) -> None:
    own = room(path)
    above = {name for name in kit_rooms(path) - {own} if RANK[name] <= RANK[own]}
    assert not above


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_what_begins_with_an_underscore_is_its_modules_own(path: Path) -> None:
    named = [name.rpartition(".")[2] for name in imports(path) if name.startswith(("mobile_kit.", "targets."))]
    assert not [name for name in named if name.startswith("_") and not name.startswith("__")]


def test_the_package_itself_imports_none_of_its_modules() -> None:
    assert not kit_rooms(ROOT / "mobile_kit" / "__init__.py")
    assert tops(ROOT / "mobile_kit" / "__init__.py") <= sys.stdlib_module_names


@each_module(NEEDS_SAMPLE_APPS)
def test_mobile_kit_imports_neither_targets_nor_sample_apps_nor_tests(path: Path) -> None:
    forbidden = {"sample_apps", "tests"} | ({"targets"} if path.is_relative_to(ROOT / "mobile_kit") else set())
    assert not tops(path) & forbidden


@each_module(NEEDS_COREMLTOOLS)
def test_toolchains_are_imported_only_under_their_own_target(path: Path) -> None:
    package = path.relative_to(ROOT).parts
    own = package[1] if package[0] == "targets" else None
    foreign = {
        name
        for name in tops(path)
        if TOOLCHAINS.get(name, own) != own or (name.startswith("ai_edge_") and own != "tflite")
    }
    assert not foreign


@each_module({})
def test_the_hubs_libraries_are_imported_only_where_checkpoints_are_read(path: Path) -> None:
    place = room(path) if path.is_relative_to(ROOT / "mobile_kit") else None
    assert not {name for name in tops(path) if name in HUB and place not in HUB[name]}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_imports_only_itself_and_what_is_below_targets(target: str) -> None:
    for path in sorted((ROOT / "targets" / target).rglob("*.py")):
        others = {name for name in imports(path) if name.startswith("targets.") and name.split(".")[1] != target}
        assert not others, name_of(path)
        named = (name for name in imports(path) if name.startswith("mobile_kit."))
        modules = {name for name in named if not name.startswith(tuple(f"{each}." for each in MODULES_FOR_TARGETS))}
        assert {name.split(".")[1] for name in modules} <= FOR_TARGETS, name_of(path)


# Modules that take seconds to import, and whatever they would bring.
HEAVY = {*TOOLCHAINS, "transformers", "tensorflow", "jax"}


# After each of these lines, in one process: torch alone takes seconds to import.
LIGHT = (
    "import mobile_kit.target_api.registry",
    *(f"import targets.{target}" for target in TARGETS),
    "mobile_kit.target_api.registry.targets()",
    "import mobile_kit.evaluation.verify",
)


def loaded_after(lines: Sequence[str], modules: Collection[str]) -> dict[str, list[str]]:
    """Which of the modules a fresh process holds after each line, by line."""
    code = "import json, sys\nfound = {}\n"
    for line in lines:
        code += f"{line}\nfound[{line!r}] = [m for m in {sorted(modules)!r} if m in sys.modules]\n"
    command = [sys.executable, "-c", code + "print(json.dumps(found))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_importing_and_finding_targets_imports_no_toolchain() -> None:
    assert loaded_after(LIGHT, HEAVY) == {line: [] for line in LIGHT}


def test_importing_the_command_line_imports_neither_torch_nor_a_toolchain() -> None:
    line = "import mobile_kit, mobile_kit.cli.main"
    assert loaded_after([line], {*HEAVY, "torch", "numpy", "PIL", "rich"}) == {line: []}


@pytest.mark.parametrize("path", ALL_CODE, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (MAX_TEST_LINES if path.is_relative_to(ROOT / "tests") else MAX_FILE_LINES)
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno is not None}
    assert not {name: lines for name, lines in long.items() if lines > MAX_FUNCTION_LINES}


def test_no_absolute_path_of_a_machine_is_in_the_tree() -> None:
    # Put together here, so that this file doesn't hold one itself.
    machine = re.compile(r"(?<![\w.}])/(" + "|".join(("work", "home", "Users", "root")) + r")/\w")
    folders = ("mobile_kit", "sample_apps", "targets", "tests", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    texts = [path for path in files if path.is_file() and (path.suffix in TEXT or path.parent.name == ".ci")]
    assert len(texts) > 50
    found = {name_of(path) for path in texts if machine.search(path.read_text(encoding="utf-8"))}
    assert not found


def test_every_module_says_what_it_is() -> None:
    for path in CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), name_of(path)
