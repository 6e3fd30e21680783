"""What other packages bring through entry points: found by name, and loaded only where it is asked for."""

from dataclasses import dataclass
from importlib import metadata
from typing import TypeVar

from mobile_kit.errors import UnsupportedError, one_line

__all__ = ["Plugin", "plugins"]

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """A name that a package registers in a group of entry points."""

    name: str
    entry: metadata.EntryPoint

    @property
    def package(self) -> str:
        """The package that brings it, or the module, where its metadata has no name."""
        return self.entry.dist.name if self.entry.dist is not None else self.entry.module

    def load(self, kind: str, of: type[T]) -> T:
        """Import it. kind: what an error calls it. of: the class that it must be of.

        Raises: UnsupportedError, whatever its package fails with.
        """
        try:
            found = self.entry.load()
        except (Exception, SystemExit) as exc:
            raise UnsupportedError(
                f"{kind} {self.name!r} of {self.package}: can't be imported ({one_line(exc)}). Mend or uninstall "
                "that package."
            ) from exc
        if not isinstance(found, of):
            raise UnsupportedError(
                f"{kind} {self.name!r} of {self.package}: {self.entry.value} is no {of.__module__}.{of.__qualname__}. "
                "Mend or uninstall that package."
            )
        return found


def plugins(group: str) -> list[Plugin]:
    """Return what is registered in a group, by name; importing none of it."""
    found = (Plugin(entry.name, entry) for entry in metadata.entry_points(group=group))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.entry.value))
