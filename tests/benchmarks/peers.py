"""The kit against its peers, in one run: `python -m tests.benchmarks.peers [--out DIR] [--only S,..] [--rounds N]`.

Writes DIR/peers.json and DIR/peers.md, prints the same tables, and leaves the toolchains' words in DIR/logs. Ends with
1 if a bound isn't shown to hold. Needs the extras `all` and `bench`.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from mobile_kit.records import finite
from tests.benchmarks import (
    accuracy,
    export_time,
    int8,
    kernels,
    latency,
    memory,
    overhead,
    parity,
    sizes,
    startup,
    verdict,
)
from tests.benchmarks.machine import machine
from tests.benchmarks.process import Workshop
from tests.benchmarks.stock import CLASSIFIER
from tests.benchmarks.table import Section, to_markdown, to_text

LATENCY_OF = {
    "latency": CLASSIFIER,
    "latency-cvt": "microsoft/cvt-13",
    "latency-hiera": "facebook/hiera-tiny-224-in1k-hf",
    "latency-vit_msn": "facebook/vit-msn-small",
}
SECTIONS: dict[str, Callable[[Workshop, int], Section]] = {
    "accuracy": lambda shop, _: accuracy.measure(shop),
    "export": lambda shop, _: export_time.measure(shop),
    **{section: partial(latency.measure, model) for section, model in LATENCY_OF.items()},
    **{section.replace("latency", "kernels"): partial(kernels.measure, model) for section, model in LATENCY_OF.items()},
    **{section.replace("latency", "int8"): partial(int8.measure, model) for section, model in LATENCY_OF.items()},
    "memory": lambda shop, _: memory.measure(shop),
    "overhead": overhead.measure,
    "parity": lambda shop, _: parity.measure(shop),
    "pixels": lambda shop, _: accuracy.measure_pixels(shop),
    "sizes": lambda shop, _: sizes.measure(shop),
    "startup": lambda _, __: startup.measure(),
    "verdict": verdict.measure,
}


def main() -> int:
    """Run the sections that are asked for."""
    options = _options()
    logs = options.out.resolve() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for log in logs.glob("*.log"):
        log.unlink()
    environment = machine(options.threads)
    sections = []
    with tempfile.TemporaryDirectory() as scratch, _chatter_to(logs / "peers.log") as say:
        shop = Workshop(Path(scratch), logs, options.threads)
        for name in options.only:
            print(f"measuring {name} ...", file=say, flush=True)
            sections.append(SECTIONS[name](shop, options.rounds))
            print(to_text(sections[-1]), file=say, flush=True)
    _write(options.out, environment, sections)
    missed = [f"{section.name}: {dict(row)}" for section in sections for row in section.missed]
    print(f"written: {options.out / 'peers.json'}, {options.out / 'peers.md'}")
    print("\n".join(["not reached:", *missed]) if missed else "every bound holds")
    return int(bool(missed))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The kit against its peers.")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--only", type=_names, default=tuple(SECTIONS), metavar="S,..", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="of latency; default %(default)s")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of every engine; default %(default)s")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: no section. Known: {', '.join(SECTIONS)}.")
    return names


@contextlib.contextmanager
def _chatter_to(log: Path) -> Iterator[TextIO]:
    """Send what engines print in this process to a log, and give the standard output that was."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    try:
        with os.fdopen(os.dup(kept[0]), "w", encoding="utf-8") as say:
            yield say
    finally:
        sys.stdout.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
        os.close(file)


def _write(out: Path, environment: dict[str, Any], sections: list[Section]) -> None:
    record = {
        "environment": environment,
        "sections": {s.name: {"title": s.title, "rows": s.rows, "notes": s.notes, **s.details} for s in sections},
    }
    text = json.dumps(finite(record), indent=1, allow_nan=False)
    (out / "peers.json").write_text(text + "\n", encoding="utf-8")
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
    place = f"{environment['cpu']}, {environment['cores']} cores, {environment['system']}, {packages}."
    body = "\n".join(to_markdown(section) for section in sections)
    (out / "peers.md").write_text(f"# The kit against its peers\n\n{place}\n\n{body}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
