"""Prompt templates: versioned files in the project's own wording, each replaceable by a user's file."""

from __future__ import annotations

import functools
import hashlib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError, did_you_mean
from dallm.resources import data_path

if TYPE_CHECKING:
    import jinja2

SUFFIX = ".jinja"
OWN = "own"
"""Version of a template that a user's file replaces."""


@dataclass(frozen=True)
class Template:
    """One prompt: a file with a block per part of it, and the variables that each block may and must use.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    version : str
        The project's count of its wording; ``"own"`` where a user's file stands in its place.
    sha256 : str
        Digest of the file's text.
    source : str
        The file's text.
    where : str
        The file, as error messages name it.
    """

    name: str
    version: str
    sha256: str
    source: str = field(repr=False)
    where: str = field(repr=False)
    _compiled: jinja2.Template = field(repr=False, compare=False)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of its parts, in the order in which a prompt holds them."""
        return tuple(_description(self.name)["blocks"])

    def variables(self, block: str) -> tuple[str, ...]:
        """Return the names that a block may use; those that it must hold come first."""
        wanted = _description(self.name)["blocks"][block]
        return (*wanted.get("must", ()), *wanted.get("may", ()))

    def render(self, block: str, **variables: Any) -> str:
        """Fill one block.

        Parameters
        ----------
        block : str
            One of `blocks`.
        **variables
            What the block is filled with.

        Raises
        ------
        UserError
            If it cannot be filled; the message names the file and the variable.

        Examples
        --------
        >>> template("repair").render("case", fault="the value of 'fever' is no boolean", missing=())[:30]
        'Your answer could not be used:'
        """
        import jinja2

        try:
            context = self._compiled.new_context(variables)
            text = "".join(self._compiled.blocks[block](context))
        except KeyError:
            raise UserError(f"The prompt {self.where} has no block {block!r}.") from None
        except jinja2.UndefinedError as error:
            raise UserError(
                f"The prompt {self.where}, block {block!r}: {error.message}; the block may use "
                f"{_listed(variables)}."
            ) from None
        except Exception as error:  # a filter or an operation that does not fit; its text may quote a report
            raise UserError(
                f"The prompt {self.where}, block {block!r}, cannot be filled: {type(error).__name__}."
            ) from None
        return text.strip("\n")


def template_names() -> tuple[str, ...]:
    """Return the names of all templates.

    Examples
    --------
    >>> template_names()
    ('fill', 'published', 'answer', 'discover', 'repair')
    """
    return tuple(_versions())


def about(name: str) -> str:
    """Return what a template is for, in one line."""
    return str(_description(name)["about"])


def template(name: str, folder: str | os.PathLike[str] | None = None) -> Template:
    """Return a template: a user's file where `folder` has one of that name, else the project's.

    Parameters
    ----------
    name : str
        One of :func:`template_names`.
    folder : path, optional
        Folder with files ``<name>.jinja``; those that it lacks are the project's.

    Raises
    ------
    UserError
        If there is no such template, the file cannot be read or parsed, or it lacks a block or a variable
        that it must hold, or uses one that does not exist; the message names the file and the variable.

    Examples
    --------
    >>> template("fill").version
    '1'
    """
    entry = _description(name)
    if folder is not None:
        root = Path(folder)
        if not root.is_dir():
            raise UserError(f"There is no folder of prompts {str(root)!r}.")
        _check_folder(root)
        own = root / f"{name}{SUFFIX}"
        if own.exists():
            return _compiled(name, OWN, _read(own), str(own))
    path = data_path("prompts", f"{name}{SUFFIX}")
    return _compiled(name, str(entry["version"]), _read(path), path.name)


def copy_templates(folder: str | os.PathLike[str], names: tuple[str, ...] = ()) -> list[Path]:
    """Write templates into a folder, to be changed there; a file that is there already stays.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    UserError
        If a name is unknown, or a file of that name is there.
    OutputError
        If a file cannot be written.
    """
    from dallm.files import write_text

    wanted = names or template_names()
    texts = {Path(folder) / f"{name}{SUFFIX}": template(name).source for name in wanted}
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise UserError(f"{there[0]!r} is there already; move it away, or choose another folder.")
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


@functools.lru_cache(maxsize=1)
def _versions() -> dict[str, dict[str, Any]]:
    with data_path("prompts", "prompts.toml").open("rb") as file:
        return tomllib.load(file)


def _description(name: str) -> dict[str, Any]:
    known = _versions()
    if name not in known:
        raise UserError(
            f"There is no prompt {name!r}; there are {_listed(known)}.{did_you_mean(name, known)}"
        )
    return known[name]


def _check_folder(root: Path) -> None:
    for path in root.glob(f"*{SUFFIX}"):
        if path.stem not in _versions():
            near = did_you_mean(path.stem, _versions())
            raise UserError(
                f"{str(path)!r} replaces no prompt; its name must be one of {_listed(_versions())}.{near}"
            )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"The prompt {str(path)!r} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError:
        raise UserError(f"The prompt {str(path)!r} is not UTF-8; save it as UTF-8.") from None


@functools.lru_cache(maxsize=64)
def _compiled(name: str, version: str, source: str, where: str) -> Template:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    try:
        tree = environment.parse(source)
        compiled = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"The prompt {where}, line {error.lineno}: {error.message}.") from None
    _check_blocks(name, tree, where)
    digest = hashlib.sha256(source.replace("\r\n", "\n").encode()).hexdigest()
    return Template(name, version, digest, source, where, compiled)


def _check_blocks(name: str, tree: jinja2.nodes.Template, where: str) -> None:
    """Check that the blocks are those expected, and what variables each of them uses."""
    from jinja2 import meta, nodes

    wanted: dict[str, dict[str, list[str]]] = _description(name)["blocks"]
    found = {block.name: block for block in tree.find_all(nodes.Block)}
    for block in wanted:
        if block not in found:
            raise UserError(f"The prompt {where} lacks the block {block!r}; it needs {_listed(wanted)}.")
    for block, node in found.items():
        if block not in wanted:
            near = did_you_mean(block, wanted)
            raise UserError(f"The prompt {where} has a block {block!r} that nothing uses.{near}")
        inside = nodes.Template(node.body, lineno=node.lineno)
        inside.set_environment(tree.environment)  # type: ignore[arg-type]  # set by Environment.parse
        used = meta.find_undeclared_variables(inside)
        must, may = wanted[block].get("must", []), wanted[block].get("may", [])
        for variable in must:
            if variable not in used:
                raise UserError(
                    f"The prompt {where}, block {block!r}, lacks the variable {variable!r}; "
                    f"write {{{{ {variable} }}}} where it goes."
                )
        for variable in sorted(used):
            if variable not in (*must, *may):
                near = did_you_mean(variable, [*must, *may])
                raise UserError(
                    f"The prompt {where}, block {block!r}, uses {variable!r}, which does not exist; "
                    f"there are {_listed([*must, *may])}.{near}"
                )


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
