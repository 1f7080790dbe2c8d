"""python -m penchant, and the installed command.

The rest is imported inside, where Ctrl-C is no traceback: it takes the first tenths of a second.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process, and exit."""
    try:
        from penchant.cli import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted.\n")
        sys.exit(130)  # options.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    main()
