"""Sets up the virtual environment, one sentence before each long step; what is done already is skipped.

    python3 .ci/setup.py .venv
    PERENNIAL_LLAMA=cuda python3 .ci/setup.py .venv      auto (what is there), cpu, cuda, metal or vulkan

llama.cpp's archive (the source distribution of llama-cpp-python) is downloaded once for two uses: the engine is compiled
from it unless pip has that wheel in its cache, and .venv/llama.cpp-VERSION/ gets what works on models beside the engine:
the maintainers' converters, their gguf-py, real vocabularies, real chat templates, and the licence. The version stands in
constraints.txt. Only the standard library, for this runs before anything is installed.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from ctypes.util import find_library
from hashlib import sha256
from pathlib import Path, PurePosixPath

ENGINE = "llama-cpp-python"
ARCHIVE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"  # of the pinned version
UNPACKED = (
    "LICENSE",
    "convert_hf_to_gguf.py",
    "convert_lora_to_gguf.py",
    "conversion/*.py",
    "gguf-py/*",
    "gguf-py/gguf/*",
    "gguf-py/gguf/scripts/*",
    "models/ggml-vocab-*.gguf*",
    "models/templates/*.jinja",
)
# What a loaded driver shows: of NVIDIA itself, or of Windows below its Linux.
NVIDIA_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))
# What llama.cpp is compiled for, by the value of PERENNIAL_LLAMA, beside `auto`.
PROCESSORS = {
    "cpu": "-DGGML_METAL=OFF",  # which is on by itself on macOS
    "cuda": "-DGGML_CUDA=ON",
    "metal": "-DGGML_METAL=ON",
    "vulkan": "-DGGML_VULKAN=ON",
}
_SAY_EVERY_SECONDS = 30.0
_PROJECT = Path(__file__).resolve().parent.parent


class SetUpError(Exception):
    """Set-up cannot go on; the sentence says why and what to do."""


def main(venv: Path) -> None:
    """Do what is missing, in order; every step looks first whether it is done."""
    python = venv / "bin" / "python"
    processor = choose_processor(os.environ.get("PERENNIAL_LLAMA", ""))
    make_environment(venv, python)
    pins = read_pins(_PROJECT / "constraints.txt")
    if installed(python, "torch") != pins["torch"]:
        pip("Installing PyTorch (1 to 2 minutes)", python, "install", "-c", "constraints.txt", "torch")
    set_up_llama_cpp(venv, python, pins[ENGINE], processor)
    # by itself and first: it has the name that the service had, and whoever gives that up takes the command along
    pip("Installing the client (some seconds)", python, "install", "-c", "constraints.txt", "-e", "./client")
    pip(
        "Installing everything else (about a minute the first time)",
        *(python, "install", "-c", "constraints.txt", "-e", ".[all,mlx]" if runs_mlx() else ".[all]"),
    )
    print(about_mlx(), flush=True)


def runs_mlx(system: str = sys.platform, chip: str = platform.machine(), libc: tuple[str, str] | None = None) -> bool:
    """Whether MLX has wheels for this machine: an Apple chip, or a Linux with glibc 2.35."""
    if system == "darwin":
        return chip == "arm64"
    name, version = libc or platform.libc_ver()
    return system == "linux" and name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)


def about_mlx() -> str:
    """What a person should know of `backend: mlx` here."""
    if not runs_mlx():
        return "Without MLX, which needs an Apple chip or a Linux with glibc 2.35; everything else is here"
    if sys.platform == "linux" and find_library("openblas") is None:
        return "`backend: mlx` is faster with OpenBLAS, which it takes by itself: apt-get install libopenblas0-pthread"
    return "`backend: mlx` is here"


def make_environment(venv: Path, python: Path) -> None:
    """A virtual environment that has pip; one that was left half made is made again."""
    if python.is_file() and not subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode:
        return
    print("Making the virtual environment (some seconds)", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True).returncode:
        raise SetUpError(
            "python cannot make a virtual environment: install the venv module (Debian: apt-get install python3-venv)"
        )


def choose_processor(
    wanted: str, system: str = sys.platform, search: str | None = None, drivers: Sequence[Path] = NVIDIA_DRIVERS
) -> str:
    """What llama.cpp is compiled for: one of PROCESSORS. By itself Metal on macOS, CUDA where nvcc and a driver are, else the CPU.

    A compiler alone is on many machines that have no card, where what it builds could not be loaded.
    `search` is the PATH to look for nvcc. Raises SetUpError for a word that is none.
    """
    if wanted in PROCESSORS:
        return wanted
    if wanted not in ("", "auto"):
        known = ", ".join(("auto", *PROCESSORS))
        raise SetUpError(f"PERENNIAL_LLAMA is {wanted!r}, and llama.cpp can be compiled for {known}; set one of them")
    if system == "darwin":
        return "metal"
    return "cuda" if shutil.which("nvcc", path=search) and any(path.exists() for path in drivers) else "cpu"


def set_up_llama_cpp(venv: Path, python: Path, version: str, processor: str) -> None:
    """The engine in the environment and the maintainers' tools beside it, both of one version and one archive.

    pip's cache does not tell for what a wheel was compiled, so it is only used for the CPU; a note in the environment does.
    """
    tools, note = venv / f"llama.cpp-{version}", venv / ".llama-processor"
    built_for = note.read_text().strip() if note.is_file() else "cpu"
    has_engine = installed(python, ENGINE) == version and built_for == processor
    has_engine = has_engine or (processor == "cpu" and install_cached_wheel(python, version))
    if has_engine and tools.is_dir():
        note.write_text(f"{processor}\n")
        return
    with tempfile.TemporaryDirectory(dir=venv) as folder:
        archive = download(python, version, Path(folder))
        if not tools.is_dir():
            unpack(archive, tools)
        if not has_engine:
            build(python, archive, version, processor)
    note.write_text(f"{processor}\n")


def download(python: Path, version: str, folder: Path) -> Path:
    """The archive of the pinned version; pip refuses another hash before it runs anything of it."""
    wanted = folder / "archive.txt"
    wanted.write_text(f"{ENGINE}=={version} --hash=sha256:{ARCHIVE_SHA256}\n")
    sentence = f"Downloading llama.cpp's archive ({ENGINE} {version}, 77 MB: seconds to minutes)"
    pip(sentence, python, "download", "--no-deps", "--no-binary", ENGINE, "-r", str(wanted), "-d", str(folder))
    (archive,) = folder.glob("*.tar.gz")
    if (found := sha256(archive.read_bytes()).hexdigest()) != ARCHIVE_SHA256:
        raise SetUpError(f"{archive.name} has the sha256 {found}, and .ci/setup.py expects {ARCHIVE_SHA256}")
    return archive


def unpack(archive: Path, tools: Path) -> None:
    """The files of UNPACKED below `tools`, all or none of them."""
    part = tools.with_name(f"{tools.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            inner = PurePosixPath(*path.parts[3:])  # llama_cpp_python-VERSION/vendor/llama.cpp/...
            if path.parts[1:3] != ("vendor", "llama.cpp") or ".." in path.parts or not member.isfile():
                continue
            content = tar.extractfile(member)
            if content is not None and any(_matches(inner, pattern) for pattern in UNPACKED):
                (part / inner).parent.mkdir(parents=True, exist_ok=True)
                (part / inner).write_bytes(content.read())
    part.rename(tools)


def install_cached_wheel(python: Path, version: str) -> bool:
    """Whether pip's cache held a wheel built from this very archive, which is installed then."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "cache", "list", "--format=abspath", ENGINE.replace("-", "_")],
        capture_output=True,
        text=True,
    )
    for wheel in map(Path, listed.stdout.splitlines()):
        if is_of_the_archive(wheel, version):
            return install_wheel(python, wheel.parent, version)
    return False


def is_of_the_archive(wheel: Path, version: str) -> bool:
    """Whether a wheel in pip's cache is of this version, and of the pinned archive by pip's own note beside it."""
    try:
        origin = json.loads((wheel.parent / "origin.json").read_text())
        return wheel.name.startswith(f"{ENGINE.replace('-', '_')}-{version}-") and ARCHIVE_SHA256 in str(
            origin["archive_info"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def build(python: Path, archive: Path, version: str, processor: str) -> None:
    """Compile the engine and install it; pip keeps the wheel in its cache if it is for the CPU."""
    sentence = f"Compiling llama.cpp for {processor} (about 5 minutes on two cores; once, pip keeps the result)"
    if processor != "cpu":
        sentence = f"Compiling llama.cpp for {processor} (its kernels take 10 minutes and more)"
    wheels = archive.parent / "wheels"
    words = [] if processor == "cpu" else ["--no-cache-dir"]
    environment = {"CMAKE_ARGS": cmake_options(processor, os.environ.get("CMAKE_ARGS"))}
    try:
        pip(sentence, python, "wheel", "--no-deps", *words, str(archive), "-w", str(wheels), environment=environment)
    except SetUpError as error:
        if processor == "cpu":
            raise
        raise SetUpError(f"{error}; or do without the GPU: PERENNIAL_LLAMA=cpu make setup") from error
    if not install_wheel(python, wheels, version):
        raise SetUpError("the engine that was just compiled cannot be installed: see pip's words above")


def cmake_options(processor: str, given: str | None) -> str:
    """llama.cpp's build options: those of CMAKE_ARGS, or without them no image part, and the processor's."""
    return f"{'-DLLAVA_BUILD=OFF' if given is None else given} {PROCESSORS[processor]}".strip()


def install_wheel(python: Path, folder: Path, version: str) -> bool:
    """Installs the engine's wheel in a folder by name, so that no path of this machine is noted; whether it could be."""
    wheel = ["--no-index", "--no-deps", "--force-reinstall", "--find-links", str(folder), f"{ENGINE}=={version}"]
    # --no-deps: what the engine itself needs comes with everything else
    return subprocess.run([str(python), *_PIP, "install", *wheel], cwd=_PROJECT).returncode == 0


def installed(python: Path, package: str) -> str | None:
    """The version of a package in the environment without its local label (`+cpu`), None without it."""
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    found = subprocess.run([str(python), "-c", ask], capture_output=True, text=True)
    return found.stdout.strip().partition("+")[0] or None


def read_pins(path: Path) -> dict[str, str]:
    """Versions by package."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


def pip(sentence: str, python: Path, *words: str, environment: dict[str, str] | None = None) -> None:
    """Run pip quietly, as `run` does."""
    run(sentence, [str(python), *_PIP, *words], environment)


def run(sentence: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    """Say what is done, do it, and show every half a minute that it goes on."""
    print(sentence, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=_PROJECT, env={**os.environ, **(environment or {})})
    try:
        while True:
            try:
                status = process.wait(_SAY_EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                print(f"  still at it after {time.monotonic() - started:.0f} s", flush=True)
    except BaseException:
        process.terminate()
        raise
    if status:
        what = sentence.partition(" (")[0]
        raise SetUpError(f"'{what}' failed, see above; mend that and run make setup again, it goes on from there")


def _matches(path: PurePosixPath, pattern: str) -> bool:
    return len(path.parts) == pattern.count("/") + 1 and path.match(pattern)


_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute())
    except SetUpError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
