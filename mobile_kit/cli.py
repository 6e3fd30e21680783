"""The command line: parse, call, print. Each command is a function of the module of its name."""

import argparse
import json
import math
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit import __version__
from mobile_kit.errors import MobileKitError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns: 0 done, 1 the work failed, 2 usage (raised by argparse as SystemExit)."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code: int = options.run(options)
        return code
    except MobileKitError as exc:
        print(f"mobile-kit: {exc}", file=sys.stderr)
    except KeyboardInterrupt:
        print("mobile-kit: stopped. Nothing half-written was left behind.", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mobile-kit",
        description="Vision transformers from a Hugging Face checkpoint to verified files for phones.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_export, _add_verify, _add_evaluate, _add_predict, _add_list, _add_doctor, _add_demo):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Any, text: str, output: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    if output:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _add_export(commands: Any) -> None:
    parser = _command(commands, "export", _export, "Lower a checkpoint to files for phones and verify them.")
    parser.add_argument("model", metavar="MODEL", help="Hub id, local folder, or known name with --random-weights")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the artifacts go")
    parser.add_argument("--head", help="base, classification, ... (see list); default: the checkpoint's own")
    parser.add_argument("--target", type=_names, default=(), metavar="T,..", help="default: all that are installed")
    parser.add_argument("--backend", help="of ExecuTorch: xnnpack (default), coreml, vulkan")
    parser.add_argument(
        "--recipe", type=_names, default=("fp32",), metavar="R,..", help="fp32 (default), fp16, int8, ... (see list)"
    )
    parser.add_argument("--calibration", type=Path, metavar="DIR", help="images that a static recipe is measured on")
    parser.add_argument(
        "--calibration-samples", type=_positive, default=128, metavar="N", help="how many of them; default %(default)s"
    )
    parser.add_argument(
        "--min-sqnr", type=_decibels, metavar="DB", help="what quantized files keep; default: by recipe"
    )
    parser.add_argument("--deployment-target", metavar="iOSN", help="oldest system of a Core ML model; default iOS17")
    parser.add_argument("--image-size", type=_size, metavar="N|HxW", help="pixels; default: the processor's own")
    parser.add_argument("--input", choices=("image", "pixel_values"), default="image", help="what the file takes")
    parser.add_argument(
        "--outputs", type=_names, default=(), metavar="O,..", help="hidden_states, attentions, mask, ... (see list)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--random-weights", action="store_true", help="measure latency before training")
    parser.add_argument("--allow-pickle", action="store_true", help="read pytorch_model.bin, tensors only")
    parser.add_argument("--photo", type=Path, metavar="IMAGE", help="becomes the golden photo; default: a drawn scene")


def _add_verify(commands: Any) -> None:
    parser = _command(commands, "verify", _verify, "Hold artifacts against the checkpoint; exit 1 where one differs.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, metavar="DIR", help="compare on these images too")
    parser.add_argument("--checkpoint", metavar="MODEL", help="the exported folder or Hub id; default: the manifest's")
    parser.add_argument("--allow-pickle", action="store_true", help="read pytorch_model.bin, tensors only")


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _evaluate, "Measure the accuracy of artifacts on labelled images.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=Path, nargs="+")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR|CSV",
        help="a folder a class, a CSV of image and label, or images with masks",
    )
    parser.add_argument("--checkpoint", metavar="MODEL", help="the exported folder or Hub id; default: the manifest's")
    parser.add_argument("--allow-pickle", action="store_true", help="read pytorch_model.bin, tensors only")


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", _predict, "Run an artifact on a photo.")
    parser.add_argument("artifact", metavar="ARTIFACT", type=Path)
    parser.add_argument("image", metavar="IMAGE", type=Path)
    parser.add_argument("--top", type=_positive, default=5, metavar="K", help="how many classes to print; default 5")
    parser.add_argument("--save", type=Path, metavar="PNG", help="write the segmentation over the photo")


def _add_list(commands: Any) -> None:
    parser = _command(commands, "list", _list, "Show families, heads, targets, recipes and known checkpoints.")
    parser.add_argument("--markdown", action="store_true", help="print the support matrix as a Markdown table")


def _add_doctor(commands: Any) -> None:
    _command(commands, "doctor", _doctor, "Show what is installed, what is missing, and how to mend it.")


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands, "demo", _demo, "Export the shipped digit checkpoints, verify them, classify unseen digits."
    )
    parser.add_argument("--family", help="default: all of them, one after the other")
    parser.add_argument("--out", type=Path, default=Path("mobile-kit-demo"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--target", type=_names, default=(), metavar="T,..", help="default: all targets")
    parser.add_argument(
        "--recipe",
        type=_names,
        default=("fp32", "fp16"),
        metavar="R,..",
        help="default fp32,fp16; int8, ... (see list)",
    )
    parser.add_argument("--views", type=_positive, default=200, metavar="N", help="unseen digits; default %(default)s")


def _export(options: argparse.Namespace) -> int:
    from mobile_kit.export import ExportOptions, export
    from mobile_kit.progress import Progress

    request = ExportOptions(
        model=options.model,
        out=options.out,
        targets=options.target,
        recipes=options.recipe,
        head=options.head,
        backend=options.backend,
        deployment_target=options.deployment_target,
        image_size=options.image_size,
        pixel_values=options.input == "pixel_values",
        outputs=options.outputs,
        revision=options.revision,
        random_weights=options.random_weights,
        allow_pickle=options.allow_pickle,
        photo=options.photo,
        calibration=options.calibration,
        calibration_samples=options.calibration_samples,
        min_sqnr=options.min_sqnr,
    )
    with Progress() as progress:
        result = export(request, progress)
    records: list[dict[str, Any]] = [
        {"artifact": str(item.manifest.folder), "bytes": item.bytes, "status": item.status, "detail": item.detail}
        for item in result.artifacts
    ]
    licence = result.artifacts[0].manifest.data["model"]["license"] if result.artifacts else None
    if options.json:
        found = {"artifacts": records, "failures": result.failures, "skipped": result.skipped, "license": licence}
        _print_json(found)
    else:
        rows = [(r["artifact"], _megabytes(r["bytes"]), r["status"], r["detail"]) for r in records]
        _print_table(("artifact", "size", "verified", ""), rows)
        if result.artifacts:
            print(f"licence of the weights: {licence or 'unknown'}")
    for line in (*result.failures, *result.skipped):
        print(f"mobile-kit: {line}", file=sys.stderr)
    return int(bool(result.failures) or any(r["status"] == "failed" for r in records))


def _verify(options: argparse.Namespace) -> int:
    from mobile_kit.verify import failure, verify, write_report

    records = []
    for folder in options.artifacts:
        try:
            report = verify(folder, options.images, options.checkpoint, options.allow_pickle)
        except MobileKitError as exc:  # the others are looked at all the same
            print(f"mobile-kit: {exc}", file=sys.stderr)
            records.append({"artifact": folder.resolve().name, "status": "failed", "failure": str(exc)})
            continue
        records.append(report.to_json())
        if not options.json:
            _print_report(folder, report, failure(report))
        try:
            write_report(report, folder)
        except MobileKitError as exc:  # an artifact that is only read is verified all the same
            print(f"mobile-kit: {exc}", file=sys.stderr)
    if options.json:
        _print_json(records)
    return int(any(record["status"] != "passed" for record in records))


def _print_report(folder: Path, report: Any, reason: str | None) -> None:
    print(f"{folder}: {report.status}{f' ({reason})' if reason else ''}")
    if report.runtime:
        print(f"  ran on {report.runtime}, {report.images} image{'s' * (report.images != 1)}")
    for check in report.checks:
        print(f"  {check.name}: {check.status}, {check.detail}")
    for out in report.outputs:
        figures = {key: value for key, value in asdict(out).items() if isinstance(value, float)}
        print(f"  {out.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()) + f"; {out.bound}")
    for name, moved in report.canary.items():
        print(f"  red and blue swapped: {name} moves by {moved:.3g}")


def _evaluate(options: argparse.Namespace) -> int:
    from mobile_kit.evaluate import EvaluateOptions, evaluate
    from mobile_kit.progress import Progress

    asked = EvaluateOptions(tuple(options.artifacts), options.images, options.checkpoint, options.allow_pickle)
    with Progress() as progress:
        scores = evaluate(asked, progress)
    if options.json:
        _print_json([asdict(score) for score in scores])
        return 0
    header = ("artifact", "images", "metric", "value", "checkpoint's", "difference", "95 % confidence")
    shown = [
        (s.artifact, s.images, s.metric, f"{s.value:.2%}", f"{s.checkpoint:.2%}", f"{s.difference:+.2%}")
        for s in scores
    ]
    intervals = [f"{s.interval[0]:+.2%} to {s.interval[1]:+.2%}" for s in scores]
    _print_table(header, [(*map(str, row), interval) for row, interval in zip(shown, intervals, strict=True)])
    return 0


def _predict(options: argparse.Namespace) -> int:
    from mobile_kit.predict import predict

    prediction = predict(options.artifact, options.image, options.top, options.save)
    if options.json:
        _print_json(asdict(prediction))
        return 0
    _print_table(("class", prediction.figure), [(name, f"{part:.1%}") for name, part in prediction.classes])
    if prediction.overlay:
        print(f"overlay: {prediction.overlay}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from mobile_kit.listing import listing, to_markdown

    if options.json:
        _print_json(listing())
    elif options.markdown:
        print(to_markdown(), end="")
    else:
        _print_listing(listing())
    return 0


def _print_listing(found: dict[str, Any]) -> None:
    for name, family in found["families"].items():
        print(f"family {name}")
        for head, record in family["heads"].items():
            print(f"  head {head}: outputs {', '.join(record['outputs'])}")
        for known in family["known_checkpoints"]:
            print(f"  known {known}")
    for name, target in found["targets"].items():
        print(f"target {name}: {target['file']}")
        for backend, recipes in target["recipes"].items():
            print(f"  {f'backend {backend}: ' if backend else ''}recipes {', '.join(recipes)}")


def _doctor(options: argparse.Namespace) -> int:
    from mobile_kit.doctor import doctor

    findings = doctor()
    if options.json:
        _print_json([asdict(finding) for finding in findings])
    else:
        _print_table(("", "found", "mend"), [(f.name, f.found or "missing", f.mend or "") for f in findings])
    return int(any(finding.mend for finding in findings))


def _demo(options: argparse.Namespace) -> int:
    from mobile_kit.demo import DemoOptions, demo
    from mobile_kit.progress import Progress

    asked = DemoOptions(options.out, options.family, options.target, options.recipe, options.views)
    with Progress() as progress:
        rows = demo(asked, progress)
    if options.json:
        _print_json([asdict(row) for row in rows])
    else:
        header = ("file", "size", "parity", "verified", "accuracy", "checkpoint's", "red and blue swapped")
        accuracies = [(row.accuracy, row.checkpoint_accuracy, row.swapped_accuracy) for row in rows]
        shown = [
            (row.file, _megabytes(row.bytes), row.parity, row.status, *(f"{part:.1%}" for part in parts))
            for row, parts in zip(rows, accuracies, strict=True)
        ]
        _print_table(header, shown)
    return int(any(row.status != "passed" for row in rows))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("names nothing")
    return names


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if min(size) < 1 or max(size) > 8192:
        raise argparse.ArgumentTypeError(f"{text!r} is no size from 1 to 8192. Give N or HxW, such as 256 or 256x320")
    return size


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _decibels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of decibels, such as 20")
    return value


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False))


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
