"""Runs Python that a model wrote where it can harm nothing: no network, no files but Python's, little time and memory.

bubblewrap or nsjail where they are installed, else user namespaces by `unshare`. There is no fourth way: without one
nothing is run. In each, the program is alone in its namespaces, sees the interpreter read-only and an empty /tmp, and
a program that ends early by itself (`sys.exit(0)`) has not passed: only the line after its last one says so.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Literal

from pipelines.errors import MissingDependency

Outcome = Literal["passed", "failed", "timed out"]

SECONDS = 10
MEMORY_BYTES = 512 << 20
_START_SECONDS = 10.0  # of the sandbox itself on a busy machine, besides the program's own time
_FILE_BYTES = 16 << 20
# Of each processor: its name in a filter of system calls, clone, and what else makes a process or a namespace.
_CALLS = {"x86_64": (0xC000003E, 56, (57, 58, 272)), "aarch64": (0xC00000B7, 220, (97,))}
_SOURCE = f"""
import ctypes, os, platform, resource, signal, struct, sys
passed, source = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
out, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
for stream in (0, 1, 2):
    os.dup2(nothing, stream)
seconds, memory = int(sys.argv[1]), int(sys.argv[2])
limits = ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, {_FILE_BYTES}),
          (resource.RLIMIT_CORE, 0))
for limit, value in limits:
    resource.setrlimit(limit, (value, value))
signal.alarm(seconds)

# Limits on processes do not hold for root: no process may be made at all, threads aside. (seccomp's classic BPF)
architecture, clone, others = {_CALLS!r}[platform.machine()]
load, equal, at_least, has, end, refuse, allow = 0x20, 0x15, 0x35, 0x45, 0x06, 0x50001, 0x7FFF0000
filters = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, 0), (load, 0, 0, 0),
           (at_least, 0, 1, 0x40000000), (end, 0, 0, refuse)]
for call in others:
    filters += [(equal, 0, 1, call), (end, 0, 0, refuse)]
filters += [(equal, 0, 1, 435), (end, 0, 0, 0x50026), (equal, 1, 0, clone), (end, 0, 0, allow), (load, 0, 0, 16),
            (has, 0, 1, 0x10000), (end, 0, 0, allow), (end, 0, 0, refuse)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(filters), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit("no filter of system calls")
exec(compile(source, "answer", "exec"), {{"__name__": "__main__"}})
os.write(out, passed)
"""
# Its own root of the interpreter's folders, and the way back out of it closed; then no capability is left.
_UNSHARED = """
set -e
root="$1"; shift
mount -t tmpfs -o size=64m,mode=755 none "$root"
mkdir -p "$root/tmp" "$root/proc" "$root/dev" "$root/old"
while [ "$1" != -- ]; do
    if [ -L "$1" ]; then cp -P "$1" "$root$1"
    else
        mkdir -p "$root$1"
        mount --rbind "$1" "$root$1"
        mount -o remount,bind,ro "$root$1"
    fi
    shift
done
shift
mount -t proc none "$root/proc"
for name in null urandom; do : > "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
cd "$root"
pivot_root . old
cd /tmp
umount -l /old
setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
exit $?  # not exec: the first process of a namespace is deaf to the alarm
"""


def run_python(source: str, seconds: int = SECONDS, memory_bytes: int = MEMORY_BYTES) -> Outcome:
    """What became of a program: it `passed` if it ran to its end without an exception.

    Raises:
        MissingDependency: nothing on this machine keeps it from the network and from files.
    """
    return _run(find_sandbox(), source, seconds, memory_bytes)


@lru_cache(maxsize=1)
def find_sandbox() -> str:
    """The name of the sandbox that works here: bwrap, nsjail or unshare. Raises MissingDependency."""
    for name in _COMMANDS:
        if shutil.which(name) and _run(name, "pass", SECONDS, MEMORY_BYTES) == "passed":
            return name
    raise MissingDependency(
        "Python answers are run in a sandbox only, and this machine has none that works: install bubblewrap "
        "(`apt install bubblewrap`) or nsjail, or let user namespaces be made (`unshare --user --map-root-user true`)"
    )


def _run(sandbox: str, source: str, seconds: int, memory_bytes: int) -> Outcome:
    passed = f"{secrets.token_hex(16)}\n".encode()
    python = [os.path.realpath(sys.executable), "-I", "-S", "-c", _SOURCE, str(seconds), str(memory_bytes)]
    with TemporaryDirectory(prefix="perennial-sandbox-") as root, TemporaryFile() as output:
        command = _COMMANDS[sandbox](root, _folders(), python)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        try:
            process.communicate(passed + source.encode(errors="replace"), timeout=seconds + _START_SECONDS)
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            _kill(process)
        output.seek(0)
        return "passed" if output.read(len(passed) + 1) == passed else "failed"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _folders() -> list[str]:
    """What the interpreter needs to start, parents before what lies in them."""
    places = {"/usr", "/bin", "/sbin", "/lib", "/lib64", sys.base_prefix, sysconfig.get_path("stdlib")}
    there = sorted(place for place in places if Path(place).exists())
    return [place for place in there if not any(place.startswith(f"{other}/") for other in there)]


def _bubblewrap(root: str, folders: Sequence[str], python: Sequence[str]) -> list[str]:
    bound = [word for folder in folders for word in ("--ro-bind", folder, folder)]
    return [
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *bound,
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp", "--"),
        *python,
    ]


def _nsjail(root: str, folders: Sequence[str], python: Sequence[str]) -> list[str]:
    bound = [word for folder in folders for word in ("-R", folder)]
    limits = [word for name in ("as", "cpu", "fsize", "nproc", "nofile") for word in (f"--rlimit_{name}", "max")]
    return [
        *("nsjail", "-Mo", "--really_quiet", "--iface_no_lo", "--time_limit", "0"),
        *bound,
        *("-R", "/dev/null", "-R", "/dev/urandom", "-T", "/tmp", "--cwd", "/tmp"),
        *limits,  # the program's own limits are set by what runs it, the same in every sandbox
        "--",
        *python,
    ]


def _unshare(root: str, folders: Sequence[str], python: Sequence[str]) -> list[str]:
    return [
        *("unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork"),
        *("--kill-child", "sh", "-c", _UNSHARED, "sh", root, *folders, "--", *python),
    ]


_COMMANDS = {"bwrap": _bubblewrap, "nsjail": _nsjail, "unshare": _unshare}
