"""The command `list`."""

import argparse
from typing import Any

from mobile_kit.cli.arguments import command
from mobile_kit.cli.output import print_json
from mobile_kit.errors import plain

__all__ = ["add", "run"]

SCHEMAS = ("manifest", "report", "result")


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "list", run, "Show families, heads, targets, recipes and known checkpoints.")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--markdown", action="store_true", help="print the support matrix as a Markdown table")
    shown.add_argument("--schema", choices=SCHEMAS, help="print the JSON Schema of a file that the kit writes")


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.target_api.support_matrix import listing, to_markdown

    if options.schema:
        print_json(_schema(options.schema))
    elif options.json:
        print_json(listing())
    elif options.markdown:
        print(to_markdown(), end="")
    else:
        _print_listing(listing())
    return 0


def _schema(name: str) -> dict[str, Any]:
    from mobile_kit.artifacts import manifest_record
    from mobile_kit.measurements import result
    from mobile_kit.reporting import report_record

    return {"manifest": manifest_record, "report": report_record, "result": result}[name].schema()


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
    for alias, recipe in found["aliases"].items():
        print(f"alias {alias}: recipe {recipe}")
    for reason in found["broken"]:
        print(f"not to be used: {plain(reason)}")
