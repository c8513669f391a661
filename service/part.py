"""One process of `perennial up`: a command that ends when `up` does, however that ended.

    python -m service.part 4711 serve      4711 is up's process id; standard input is a pipe whose other end only `up` holds

On Linux the system kills it with `up`; elsewhere it sees the pipe close. Ctrl-C at the terminal is `up`'s to act on.
"""

import os
import signal
import sys

from pipelines.isolated import end_with, end_with_pipe


def main() -> None:
    """Run the command. What takes seconds to import comes after the promise to end with `up`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, *words = sys.argv[1:]
    end_with(int(parent))
    end_with_pipe(os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.argv = ["perennial", *words]

    from service.cli import main as run

    run()


if __name__ == "__main__":
    main()
