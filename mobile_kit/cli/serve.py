"""The command `serve`."""

import argparse
from typing import Any

from mobile_kit.cli.arguments import artifact, command

__all__ = ["add", "run"]

LAST_PORT = 65535


def add(commands: Any) -> None:
    """Add the command to a parser."""
    text = "Try an artifact on a local web page, with photos or the camera."
    parser = command(commands, "serve", run, text, output=False)
    parser.add_argument("artifact", metavar="ARTIFACT", type=artifact)
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="where to listen; default 0, a free one")
    parser.add_argument("--no-open", action="store_true", help="print the address and open no browser")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to {LAST_PORT}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run it; return the exit code."""
    from mobile_kit.apps.serve import serve

    serve(options.artifact, options.port, browse=not options.no_open)
    return 0
