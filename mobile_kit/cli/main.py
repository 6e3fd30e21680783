"""The command line: parse, call, print. Each command has a module beside this one."""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator, Sequence

from mobile_kit import __version__
from mobile_kit.cli import (
    bundle,
    demo,
    doctor,
    evaluate,
    export,
    import_results,
    listing,
    predict,
    profile,
    report,
    sensitivity,
    serve,
    verify,
)
from mobile_kit.cli.arguments import Parser
from mobile_kit.errors import MobileKitError, plain

__all__ = ["main"]

COMMANDS = (
    export,
    verify,
    evaluate,
    sensitivity,
    profile,
    import_results,
    report,
    predict,
    bundle,
    serve,
    listing,
    doctor,
    demo,
)

# Ctrl-C, `kill`, and the terminal that closes.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns: 0 done, 1 the work failed, 2 usage (raised by argparse as SystemExit)."""
    _print_any_character()
    options = _parser().parse_args(arguments)
    try:
        with _stopped_once():
            code: int = options.run(options)
            return code
    except MobileKitError as exc:
        print(f"mobile-kit: {plain(str(exc))}", file=sys.stderr)
    except KeyboardInterrupt:
        print("mobile-kit: stopped. Nothing half-written was left behind.", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    return 1


def _print_any_character() -> None:
    """Let output say in ASCII what a terminal's encoding has no character for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _stopped_once() -> Iterator[None]:
    """Stop at the first of `STOPS` only: what is done then is to tidy up, which another would leave half-done."""
    # One that is ignored stays so: nohup means it.
    before = {number: was for number in STOPS if (was := signal.getsignal(number)) != signal.SIG_IGN}

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _parser() -> Parser:
    parser = Parser(
        prog="mobile-kit",
        description="Vision transformers from a Hugging Face checkpoint to verified files for phones.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
