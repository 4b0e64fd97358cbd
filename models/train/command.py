"""How the commands of this folder end."""

import io
import sys
from collections.abc import Callable
from typing import Any

from data import DataError


def run(name: str, main: Callable[[], Any]) -> None:
    """Runs a command; bad input ends it with one line and the exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files and classes have letters that not every terminal has.
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except MemoryError as error:
        print(f"{name}: not enough memory: {error}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        # PyTorch's: no such device, its memory is used up, or pictures too small for the network.
        print(f"{name}: {next(iter(str(error).strip().splitlines()), type(error).__name__)}", file=sys.stderr)
        sys.exit(2)
    except (DataError, ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
