"""The templates of the sample apps: what is filled in, where models go, and which names a platform takes."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mobile_kit.errors import UnsupportedError

__all__ = ["APP_ID", "NAME", "TEMPLATES", "Template", "template_root"]

# What stands in the templates, which are whole projects themselves, for the app's id and name.
APP_ID, NAME = "dev.mobilekit.sample", "Mobile Kit"
MOST_NAME, MOST_ID = 30, 155
# Words that Java keeps for itself can't be a part of a package's name (Java Language Specification, section 3.9).
JAVA = (
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends false "
    "final finally float for goto if implements import instanceof int interface long native new null package private "
    "protected public return short static strictfp super switch synchronized this throw throws transient true try void "
    "volatile while"
)


@dataclass(frozen=True)
class Template:
    """A template under sample_apps.

    folder: its name there. opened: what is opened, in the app's folder. library: the module without user interface.
    alone: files that come with it where it comes alone. models: the folder of the models, in an app. compiled: where
    the platform's compiler looks for packages, None where it has none. fills: how the name is written into each file
    that has it or the id. without: a file of the library, and what is replaced in it, where no artifact is for a
    target. references: what finds the paths that a file of the project names, a group each. id_part: what each part of
    an id may be; reserved: and what not, between spaces. expanded: characters of a name that the platform's tools take
    for something else. most_mb: megabytes of models that the store has doubts about, and which.
    """

    folder: str
    opened: str
    library: str
    alone: tuple[str, ...]
    models: str
    compiled: str | None
    fills: Mapping[str, Callable[[str], str]]
    without: Mapping[str, tuple[str, Mapping[str, str]]]
    references: Mapping[str, str]
    id_part: str
    id_example: str
    reserved: str
    expanded: str
    most_mb: int
    beyond: str

    def check_id(self, app_id: str) -> None:
        """Raise UnsupportedError for an id that the platform refuses."""
        parts = app_id.split(".")
        fits = len(parts) > 1 and len(app_id) <= MOST_ID and all(re.fullmatch(self.id_part, part) for part in parts)
        if not fits or set(parts).intersection(self.reserved.split()):
            raise UnsupportedError(
                f"--app-id {app_id!r}: {self.folder} takes none such. Give one like {self.id_example}."
            )

    def check_name(self, name: str) -> None:
        """Raise UnsupportedError for a name that no app can have; any script is fine."""
        seen = [char for char in name if char not in " \u200d"]
        strange = [char for char in seen if unicodedata.category(char)[0] in "CZ"]
        if not name or name != " ".join(name.split()) or len(name) > MOST_NAME or strange:
            raise UnsupportedError(
                f"--name {name!r}: is empty, longer than {MOST_NAME} characters, has some that can't be seen, "
                "or spaces side by side or at an end. Give another."
            )
        found = " ".join(char for char in self.expanded if char in name)
        if found:
            raise UnsupportedError(f"--name {name!r}: {self.folder} takes {found} for a setting. Give another.")


def _android_string(text: str) -> str:
    """Escape a string resource (Android's guide to string resources, "Handle special characters")."""
    quoted = re.sub(r"([\\'\"@?])", r"\\\1", text)
    return escape(quoted, quote=False)


def _pbxproj(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


TEMPLATES = {
    "android": Template(
        folder="android",
        opened=".",
        library="mobilekit-runtime",
        alone=("gradle/libs.versions.toml",),
        models="app/src/main/assets/models",
        compiled=None,
        fills={"app/build.gradle.kts": str, "app/src/main/res/values/strings.xml": _android_string},
        without={},
        references={"settings.gradle.kts": r'":([\w-]+)"'},
        id_part="[A-Za-z][A-Za-z0-9_]*",
        id_example="com.example.digits",
        reserved=JAVA,
        expanded="",
        most_mb=200,
        beyond="Google Play takes at most 200 MB for an app's base; deliver larger models as an asset pack",
    ),
    "ios": Template(
        folder="ios",
        opened="MobileKit.xcodeproj",
        library="MobileKitRuntime",
        alone=(),
        models="Models",
        compiled="CoreML",
        fills={"MobileKit.xcodeproj/project.pbxproj": _pbxproj},
        without={"executorch": ("Package.swift", {"let usesExecuTorch = true": "let usesExecuTorch = false"})},
        references={
            "MobileKit.xcodeproj/project.pbxproj": r'relativePath = "?([^";]+)"?;|'
            r'\bpath = "?([^";]+)"?;\s*sourceTree = "<group>"'
        },
        id_part="[A-Za-z0-9-]+",
        id_example="com.example.digits",
        reserved="",
        # Xcode replaces $(..), ${..} and $.. in settings, and what it found once more in the app's Info.plist.
        expanded="$",
        most_mb=200,
        beyond="the App Store asks before it loads more than 200 MB over a mobile network",
    ),
}


def template_root() -> Path:
    """Return the folder of the templates, which is installed with the kit."""
    import sample_apps

    (root,) = sample_apps.__path__
    return Path(root)
