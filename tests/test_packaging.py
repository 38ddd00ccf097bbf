"""What a user installs: it imports fast, it holds its data, and it names its version once."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import dallm

ROOT = Path(dallm.__file__).resolve().parent.parent
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file()
HEAVY = {
    "torch",
    "langchain",
    "langchain_core",
    "neo4j",
    "xgboost",
    "matplotlib",
    "sklearn",
    "pandas",
    "numpy",
}
HEAVY |= {"sentence_transformers", "transformers", "scipy", "pyarrow", "bs4", "pypdf", "pydantic", "openpyxl"}

pytestmark = pytest.mark.skipif(not IN_CHECKOUT, reason="the tests of packaging need the checkout")


def run_python(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["dallm", "dallm.features", "dallm.errors", "dallm.cli.app"])
def test__import__light_module__loads_no_heavy_package(module):
    loaded = run_python(f"import sys, {module}; print(*(n.split('.')[0] for n in sys.modules))").split()
    assert not HEAVY & set(loaded)


def test__public_names__every_one__can_be_had():
    found = [name for name in dallm.__all__ if getattr(dallm, name, None) is None]
    assert found == []


@pytest.mark.parametrize("first", ["dallm.fill_values", "dallm.augment", "dallm.Augmented"])
def test__public_names__augment__can_be_called_whatever_was_used_before(first):
    code = f"import dallm, inspect; {first}; print(*inspect.signature(dallm.augment).parameters)"
    assert run_python(code).split()[:2] == ["cohort", "conditions"]
    assert run_python("import dallm; dallm.augment; import dallm.augment.fill as f; print(f.__name__)") == (
        "dallm.augment.fill\n"
    )


def test__public_names__a_wrong_one__is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fill_value'"):
        dallm.fill_value  # noqa: B018


def test__version__package_and_project__agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert dallm.__version__ == project["version"]
    assert f"## {dallm.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The project's wheel, built by its own build back end without reaching out."""
    builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(builders.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


def test__wheel__built__holds_all_data_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"dallm/_data/{p.relative_to(ROOT / 'data').as_posix()}" for p in files_below(ROOT / "data")}
    package = {p.relative_to(ROOT).as_posix() for p in files_below(ROOT / "dallm")}
    assert data | package <= names
    assert not [n for n in names if n.startswith(("tests/", "notebooks/", "benchmarks/"))]


def test__wheel__unpacked_elsewhere__finds_its_data_inside_itself(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import dallm.resources as r; print(r.data_path('lexicon'), r.data_path('primer'))"
    where = run_python(f"import os; os.chdir({str(tmp_path)!r}); {code}", PYTHONPATH=str(tmp_path))
    assert where.split() == [str(tmp_path / "dallm" / "_data" / part) for part in ("lexicon", "primer")]


def files_below(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert found, f"{folder} is empty"
    return found
