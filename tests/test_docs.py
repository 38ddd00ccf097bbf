"""What the documents show is what the library does: docstrings and the README run."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
import sys
from pathlib import Path

import pytest

import dallm
from dallm.cli.app import app

ROOT = Path(dallm.__file__).resolve().parent.parent
README = ROOT / "README.md"
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(dallm.__path__, "dallm.") if not m.name.endswith("__main__")
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

needs_readme = pytest.mark.skipif(not README.is_file(), reason="the README is only in the checkout")


@pytest.mark.parametrize("name", ["dallm", *MODULES])
def test__docstring__of_every_module__runs_as_shown(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def blocks(text: str, language: str) -> list[tuple[str, str]]:
    """Return each fenced block of a language, with the text block that follows it at once, if any."""
    found = re.findall(rf"```{language}\n(.*?)```(?:\s*```text\n(.*?)```)?", text, flags=re.DOTALL)
    assert found, f"no {language} block"
    return found


@needs_readme
def test__readme__python_blocks__print_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, shown in blocks(README.read_text(encoding="utf-8"), "python"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, str(README), "exec"), names)
        assert printed.getvalue().split() == shown.split()


@needs_readme
def test__readme__commands__write_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block, shown in blocks(README.read_text(encoding="utf-8"), "console"):
        for line in block.replace("\\\n", " ").splitlines():
            command = shlex.split(line.removeprefix("$ "), comments=True)
            if command and command[0] == "dallm":
                monkeypatch.setattr(sys, "argv", command)
                with pytest.raises(SystemExit) as end:
                    app(prog_name="dallm")
                assert end.value.code == 0, line
        printed = set(fixed_lines(capsys.readouterr().out))
        assert printed
        assert [line for line in fixed_lines(shown) if line not in printed] == []


def fixed_lines(output: str) -> list[str]:
    """Return what an output says whatever the lexicon knows: no numbers, and of a table its header alone."""
    lines, in_table = [], False
    for line in output.splitlines():
        masked = " ".join(re.sub(r"[\d,.]*\d", "0", line).split())
        if masked and not in_table:
            lines.append(masked)
        in_table = bool(masked) and (in_table or re.match(r"(feature|case) +", line) is not None)
    return lines


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are only in the checkout")
@pytest.mark.parametrize("path", sorted([README, *(ROOT / "docs").glob("*.md")]), ids=lambda p: p.name)
def test__document__names_files__that_are_there(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    named = re.findall(r"`((?:dallm|data|docs|tests|benchmarks|notebooks)/[\w./-]+\.\w+)`", text)
    missing = [n for n in named if not (ROOT / n).exists()]
    missing += [link for link in links if not (path.parent / link).exists()]
    # what an installed wheel holds under another name
    assert [m for m in missing if not m.startswith("dallm/_data")] == []
