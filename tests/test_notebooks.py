"""The notebooks run from the first cell to the last, in an empty folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import dallm

FOLDER = Path(dallm.__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WRITTEN = {"01_quickstart": "result/evidence.html", "02_reproduce_tables": "table4/table4.html"}


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Callable[[Path], tuple[Any, Path]]:
    """Gives a notebook as it was executed in an empty folder, and the folder; all are executed at once."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")

    async def execute(path: Path) -> tuple[Any, Path]:
        notebook, folder = nbformat.read(path, as_version=4), tmp_path_factory.mktemp(path.stem)
        await nbclient.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).async_execute()
        return notebook, folder

    @cache
    def outcomes() -> dict[Path, Any]:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*map(execute, NOTEBOOKS), return_exceptions=True)

        return dict(zip(NOTEBOOKS, asyncio.run(all_of_them()), strict=True))

    def executed(path: Path) -> tuple[Any, Path]:
        outcome = outcomes()[path]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return executed


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the notebooks are only in the checkout")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test__notebook__executed_in_an_empty_folder__raises_nothing(path, executed):
    notebook, folder = executed(path)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert (folder / WRITTEN[path.stem]).is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test__notebook__as_stored__has_no_output(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
