"""How the commands of this folder end."""

import sys
from collections.abc import Callable
from typing import Any

from data import DataError


def run(name: str, main: Callable[[], Any]) -> None:
    """Runs a command; bad input ends it with one line and the exit code 2."""
    try:
        main()
    except (DataError, ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
