"""Whether a process still runs, for what processes leave behind: a claim on a round, a demo's home."""

import os


def another_lives(pid: int) -> bool:
    """Whether another process of this number runs; our own number is one from before a restart."""
    if pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
