"""The command `bundle`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobile_kit.apps.templates import APP_ID, NAME
from mobile_kit.cli.arguments import artifact, command
from mobile_kit.cli.output import print_json, print_table

__all__ = ["add", "run"]


RESULTS = {True: "pass", False: "FAIL", None: "not checked"}


def add(commands: Any) -> None:
    """Add the command to a parser."""
    parser = command(commands, "bundle", run, "Make an app's project with artifacts in it, ready to be opened.")
    parser.add_argument("artifacts", metavar="ARTIFACT", type=artifact, nargs="+")
    parser.add_argument("--app", required=True, choices=("android", "ios"), help="which platform's")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder that is made")
    parser.add_argument("--app-id", metavar="ID", help=f"such as com.example.digits; default {APP_ID}")
    parser.add_argument("--name", help=f"what is written below the app's icon; default {NAME}")
    parser.add_argument("--library-only", action="store_true", help="the module for an app of your own, and the models")
    parser.add_argument("--check", action="store_true", help="try it with the platform's tools that are installed")
    parser.add_argument(
        "--force", action="store_true", help="replace what was made so before; with changes of yours, it is kept"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.apps.bundle import BundleOptions, bundle
    from mobile_kit.progress import Progress

    names = ("app", "out", "app_id", "name", "library_only", "force", "check")
    asked = BundleOptions(**{name: getattr(options, name) for name in names})
    with Progress() as progress:
        made = bundle(options.artifacts, asked, lambda text: progress.stage("check", text))
    if options.json:
        print_json(asdict(made))
    else:
        print_table(("model", "MB"), [(name, f"{size / 1e6:.1f}") for name, size in made.models.items()])
        if made.checks:
            print_table(("check", "", "what"), [(each.name, RESULTS[each.passed], each.said) for each in made.checks])
        for warning in made.warnings:
            print(f"warning: {warning}")
        print(f"Add {made.opened} to your app, see README.md there" if options.library_only else f"Open {made.opened}")
    return int(any(each.passed is False for each in made.checks))
