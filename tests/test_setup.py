"""Set-up: llama.cpp's archive is taken apart beside the environment, at the pinned version, and never a wrong one."""

import importlib.util
import io
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[1]
INNER = "llama_cpp_python-0.3.36/vendor/llama.cpp"


def load_setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("project_setup", PROJECT / ".ci" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup = load_setup()
PINS = setup.read_pins(PROJECT / "constraints.txt")
TOOLS = Path(sys.prefix) / f"llama.cpp-{PINS[setup.ENGINE]}"


def archive_of(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return path


def test_the_converters_vocabularies_templates_and_licence_stand_beside_the_environment() -> None:
    assert TOOLS.is_dir(), f"{TOOLS} is missing: run make setup"
    assert "MIT License" in (TOOLS / "LICENSE").read_text()
    assert (TOOLS / "convert_hf_to_gguf.py").is_file() and (TOOLS / "convert_lora_to_gguf.py").is_file()
    assert (TOOLS / "conversion" / "qwen.py").is_file() and (TOOLS / "gguf-py" / "gguf" / "gguf_writer.py").is_file()
    vocabularies = {path.name for path in (TOOLS / "models").glob("ggml-vocab-*.gguf")}
    assert {"ggml-vocab-qwen2.gguf", "ggml-vocab-llama-bpe.gguf", "ggml-vocab-gemma-4.gguf"} <= vocabularies
    for kind in ("inp", "out"):
        assert (TOOLS / "models" / f"ggml-vocab-qwen2.gguf.{kind}").is_file()
    assert len(list((TOOLS / "models" / "templates").glob("*.jinja"))) > 50


def test_the_pin_of_the_engine_is_the_same_wherever_it_stands() -> None:
    engine, torch = (f"{name}=={PINS[name]}" for name in (setup.ENGINE, "torch"))
    declared = (PROJECT / "pyproject.toml").read_text()
    assert f'"{engine}"' in declared and f'"{torch}"' in declared


def test_only_what_is_listed_is_unpacked_and_nothing_outside(tmp_path: Path) -> None:
    listed = ("LICENSE", "conversion/qwen.py", "models/ggml-vocab-x.gguf.inp", "models/templates/a.jinja")
    others = (
        "../../../../escaped/LICENSE",
        "src/llama.cpp",
        "models/other.gguf",
        "models/templates/README.md",
        "conversion/deep/x.py",
    )
    names = [f"{INNER}/{name}" for name in (*listed, *others)] + ["llama_cpp_python-0.3.36/LICENSE"]
    setup.unpack(archive_of(tmp_path / "a.tar.gz", *names), tmp_path / "tools")
    found = {
        path.relative_to(tmp_path / "tools").as_posix() for path in (tmp_path / "tools").rglob("*") if path.is_file()
    }
    assert found == set(listed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "tools"]


def test_an_archive_of_another_hash_is_refused_before_anything_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index").mkdir()
    archive_of(tmp_path / "index" / "llama_cpp_python-0.3.36.tar.gz", "llama_cpp_python-0.3.36/setup.py")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(setup.SetUpError, match="Downloading llama.cpp's archive' failed, see above"):
        setup.download(Path(sys.executable), "0.3.36", tmp_path)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "origin", "is_ours"),
    [
        ("llama_cpp_python-0.3.36-py3-none-any.whl", f'{{"archive_info": {{"hash": "sha256={setup.ARCHIVE_SHA256}"}}}}', True),
        ("llama_cpp_python-0.3.35-py3-none-any.whl", f'{{"archive_info": {{"hash": "sha256={setup.ARCHIVE_SHA256}"}}}}', False),
        ("llama_cpp_python-0.3.36-py3-none-any.whl", '{"archive_info": {"hash": "sha256=abc"}}', False),
        ("llama_cpp_python-0.3.36-py3-none-any.whl", "{}", False),
        ("llama_cpp_python-0.3.36-py3-none-any.whl", None, False),
    ],
)  # fmt: skip
def test_a_wheel_in_pips_cache_is_taken_only_if_it_was_built_from_the_pinned_archive(
    tmp_path: Path, name: str, origin: str | None, is_ours: bool
) -> None:
    if origin is not None:
        (tmp_path / "origin.json").write_text(origin)
    assert setup.is_of_the_archive(tmp_path / name, "0.3.36") is is_ours


@pytest.mark.parametrize(
    ("wanted", "system", "there", "processor", "options"),
    [
        ("", "linux", (), "cpu", "-DLLAVA_BUILD=OFF -DGGML_METAL=OFF"),
        ("auto", "linux", ("nvcc", "driver"), "cuda", "-DLLAVA_BUILD=OFF -DGGML_CUDA=ON"),
        ("auto", "linux", ("nvcc",), "cpu", "-DLLAVA_BUILD=OFF -DGGML_METAL=OFF"),  # a compiler without a card
        ("auto", "linux", ("driver",), "cpu", "-DLLAVA_BUILD=OFF -DGGML_METAL=OFF"),
        ("auto", "darwin", ("nvcc",), "metal", "-DLLAVA_BUILD=OFF -DGGML_METAL=ON"),
        ("cpu", "darwin", (), "cpu", "-DLLAVA_BUILD=OFF -DGGML_METAL=OFF"),
        ("cuda", "linux", (), "cuda", "-DLLAVA_BUILD=OFF -DGGML_CUDA=ON"),
        ("vulkan", "linux", ("nvcc", "driver"), "vulkan", "-DLLAVA_BUILD=OFF -DGGML_VULKAN=ON"),
    ],
)
def test_llama_cpp_is_compiled_for_what_is_asked_or_else_for_what_is_there(
    tmp_path: Path, wanted: str, system: str, there: tuple[str, ...], processor: str, options: str
) -> None:
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    assert setup.choose_processor(wanted, system, str(tmp_path), [tmp_path / "driver"]) == processor
    assert setup.cmake_options(processor, None) == options
    assert setup.cmake_options(processor, "-DGGML_NATIVE=OFF").startswith("-DGGML_NATIVE=OFF -DGGML_")


def test_a_processor_that_llama_cpp_cannot_be_compiled_for_is_refused_with_those_it_can() -> None:
    with pytest.raises(setup.SetUpError, match="PERENNIAL_LLAMA is 'rocm'.* auto, cpu, cuda, metal, vulkan; set one"):
        setup.choose_processor("rocm")


def test_an_engine_for_another_processor_is_compiled_anew_and_never_taken_from_pips_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama.cpp-1").mkdir()
    done: list[str] = []
    monkeypatch.setattr(setup, "installed", lambda python, package: "1")
    monkeypatch.setattr(setup, "install_cached_wheel", lambda python, version: done.append("cache") or True)
    monkeypatch.setattr(setup, "download", lambda python, version, folder: folder / "archive")
    monkeypatch.setattr(
        setup, "pip", lambda sentence, python, *words, environment: done.append(f"{words} {environment}")
    )
    monkeypatch.setattr(setup, "install_wheel", lambda python, folder, version: True)
    for processor in ("cpu", "cuda", "cuda", "cpu"):
        setup.set_up_llama_cpp(tmp_path, tmp_path / "python", "1", processor)
    assert len(done) == 2 and "GGML_CUDA=ON" in done[0] and "--no-cache-dir" in done[0] and done[1] == "cache"


def test_a_long_step_says_so_before_and_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "_SAY_EVERY_SECONDS", 0.1)
    setup.run("Waiting (a blink)", [sys.executable, "-c", "import time; time.sleep(0.5)"])
    assert capfd.readouterr().out.splitlines()[:2] == ["Waiting (a blink)", "  still at it after 0 s"]
    with pytest.raises(setup.SetUpError, match="'Waiting' failed"):
        setup.run("Waiting (a blink)", [sys.executable, "-c", "raise SystemExit(1)"])


@pytest.mark.parametrize(
    ("system", "chip", "libc", "here"),
    [
        ("darwin", "arm64", ("", ""), True),
        ("darwin", "x86_64", ("", ""), False),
        ("linux", "x86_64", ("glibc", "2.36"), True),
        ("linux", "x86_64", ("glibc", "2.31"), False),
        ("linux", "x86_64", ("", ""), False),
        ("win32", "AMD64", ("", ""), False),
    ],
)
def test_mlx_is_set_up_only_where_it_has_wheels(system: str, chip: str, libc: tuple[str, str], here: bool) -> None:
    """Where it has none, pip would refuse everything else with it."""
    assert setup.runs_mlx(system, chip, libc) is here
