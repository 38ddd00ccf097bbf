"""The notebooks run from the first cell to the last, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dallm

FOLDER = Path(dallm.__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WRITTEN = {"01_quickstart": "result/evidence.html", "02_reproduce_tables": "table4/table4.html"}


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="the notebooks are only in the checkout")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test__notebook__executed_in_an_empty_folder__raises_nothing(path, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert (tmp_path / WRITTEN[path.stem]).is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test__notebook__as_stored__has_no_output(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
