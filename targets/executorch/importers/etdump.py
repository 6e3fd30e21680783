"""ExecuTorch's ETDump: the events of each run, and with an ETRecord the modules that they are of."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from mobile_kit.errors import MissingToolError, ResultError, malformed, one_line
from mobile_kit.measurements.importers.base import Imported
from mobile_kit.measurements.latency import latency
from mobile_kit.measurements.result import Load, ModelInfo, Op, Placement, Result, RunInfo, unknown_device
from mobile_kit.target_api.captured_output import captured_stderr

__all__ = ["ETDump"]

# The flatbuffer's length comes first, then its root, then what it is.
PREFIX, IDENTIFIER = 4, slice(8, 12)
VERSION = b"ED00"
EXECUTE, LOAD, DELEGATE = "Method::execute", "Program::load_method", "DELEGATE_CALL"
# What the runtime does around operations; the first is around each that is no delegate's.
AROUND = {"OPERATOR_CALL", EXECUTE, LOAD, "Method::init"}


class ETDump:
    """Reads it with ExecuTorch's own Inspector."""

    name = "ExecuTorch's ETDump"
    takes_record = True

    def knows(self, path: Path, head: bytes) -> bool:
        """Whether it has the identifier of any version of the schema."""
        return head[IDENTIFIER].startswith(b"ED") and head[IDENTIFIER][2:].isdigit()

    def read(self, path: Path, record: Path | None) -> Imported:
        """Read a file."""
        _check(path)
        blocks = _blocks(path, record)
        runs = [block for block in blocks if any(event.name == EXECUTE for event in block.events)]
        loads = _times(blocks, LOAD)
        if not runs:
            raise ResultError(f"result {path.name}: has no {EXECUTE} event. Run the method with an event tracer.")
        longest = max(runs, key=lambda block: len(_times([block], EXECUTE)))
        result = Result(
            run=RunInfo("", "imported", "ExecuTorch Inspector", _version()),
            model=ModelInfo(""),
            device=unknown_device(),
            latency=latency([_times(runs, EXECUTE)]),
            load=Load(next(iter(loads), None), tuple(loads[1:])),
            ops=tuple(_ops(longest.events)),
            placement=Placement(partitions=sum(event.name == DELEGATE for event in longest.events) or None),
        )
        return Imported((result,))


def _check(path: Path) -> None:
    """Raise ResultError for another version of the schema, and for a file that is cut off."""
    with path.open("rb") as file:
        head = file.read(IDENTIFIER.stop)
    size, length = path.stat().st_size, int.from_bytes(head[:PREFIX], "little")
    if head[IDENTIFIER] != VERSION:
        found = head[IDENTIFIER].decode(errors="replace")
        raise malformed(path, f"byte {IDENTIFIER.start}", f"is version {found}, and {VERSION.decode()} is known")
    if size < length + PREFIX:
        raise malformed(path, f"byte {size}", f"ends here, and has {length + PREFIX} bytes by its own account")


def _blocks(path: Path, record: Path | None) -> list[Any]:
    """Return the Inspector's blocks of events, in microseconds. The runtime's clock is taken to count nanoseconds."""
    what = path.name if record is None else f"{path.name} with {record.name}"
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        try:
            from executorch.devtools import Inspector
            from executorch.devtools.inspector import TimeScale

            inspector = Inspector(
                etdump_path=str(path),
                etrecord=None if record is None else str(record),
                target_time_scale=TimeScale.US,
                enable_module_hierarchy=True,
            )
        except ImportError as exc:
            raise MissingToolError(
                f"result {path.name}: needs executorch ({one_line(exc)}). Run: pip install 'mobile-kit[executorch]'"
            ) from exc
        except subprocess.CalledProcessError as exc:  # the flatbuffers' compiler, which reads the dump
            raise malformed(path, f"byte {PREFIX}", "the flatbuffer that begins here is torn") from exc
        except Exception as exc:  # whatever its readers of flatbuffers, archives and graphs come upon
            raise ResultError(
                f"result {what}: the Inspector can't read it ({one_line(exc)}). Record it again."
            ) from exc
    return list(inspector.event_blocks)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what programs that the Inspector starts print from the screen."""
    with captured_stderr():
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _version() -> str:
    return metadata.version("executorch")


def _times(blocks: Iterable[Any], name: str) -> list[float]:
    return [
        time
        for block in blocks
        for event in block.events
        if event.name == name and event.perf_data is not None
        for time in event.perf_data.raw
    ]


def _ops(events: list[Any]) -> Iterator[Op]:
    """Yield the operations. A call of a delegate counts where the delegate doesn't say what it did in it."""
    inner = any(event.is_delegated_op for event in events)
    found = [
        event
        for event in events
        if event.perf_data is not None and event.name not in AROUND and not (inner and event.name == DELEGATE)
    ]
    total = sum(float(event.perf_data.avg) for event in found)
    for event in found:
        delegated = event.is_delegated_op or event.name == DELEGATE
        mean = float(event.perf_data.avg)
        yield Op(
            name=event.name or str(event.delegate_debug_identifier),
            type=", ".join(dict.fromkeys(event.op_types)) or None,
            mean_us=mean,
            percent=100 * mean / total if total else None,
            calls=1,
            delegate=(event.delegate_backend_name or "delegate") if delegated else None,
            module=_module(event.module_hierarchy),
        )


def _module(hierarchy: dict[str, Any]) -> str | None:
    """Return the innermost modules of the nodes that an event is of, as torch.export names them."""
    paths = [list(stack.values())[-1] for stack in hierarchy.values() if stack]
    names = [path[0] if isinstance(path, tuple | list) else path for path in paths]
    return ", ".join(dict.fromkeys(str(name) for name in names if name)) or None
