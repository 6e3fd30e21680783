"""The kit's own results, such as an app or another machine wrote them."""

from pathlib import Path

from mobile_kit.errors import ArtifactError, ResultError
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.result import read_results

__all__ = ["Own"]


class Own:
    """Reads what `write_results` writes."""

    name = "mobile_kit's own results"
    takes_record = False

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it is a list with keys of the schema; the first of them may be long."""
        return head.lstrip()[:1] == b"[" and all(key in head for key in (b'"config"', b'"device"', b'"warmup_runs"'))

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        try:
            return Imported(tuple(read_results(path)))
        except ArtifactError as exc:
            raise ResultError(
                str(exc).replace("Profile the artifact again.", "Give the file as it was written.")
            ) from exc
