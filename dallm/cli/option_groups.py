"""Options that several commands take together: declared once, as the fields of a dataclass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Without:
    """Fields of a group that a command does not take; they keep their defaults.

    Examples
    --------
    >>> Without("dry_run").names
    ('dry_run',)
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of its parameters that are dataclasses.

    The command is called with the dataclasses, made from what was given on the command line, so that the
    checks in them run before it. A field is declared as a parameter of a command is: ``Annotated[type,
    typer.Option(...)]``. The annotation ``Annotated[Group, Without("name")]`` leaves fields out. A parameter
    ``Group | None`` is None where none of its options is given.

    Raises
    ------
    ValueError
        If two options have the same name.

    Examples
    --------
    >>> from dallm.cli.engines import EngineChoice
    >>> def ask(engine: Annotated[EngineChoice, Without("cache", "allow_egress")]) -> None:
    ...     print(engine.name, engine.budget_calls)
    >>> asked = with_groups(ask)
    >>> list(inspect.signature(asked).parameters)[:3]
    ['name', 'base_url', 'budget_cost']
    >>> asked(name="ollama:llama3.3", budget_calls=5)
    ollama:llama3.3 5
    """
    groups: dict[str, _Group] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        annotation = hints[name]
        group = _group_of(annotation)
        if group is not None:
            groups[name] = group
            parameters += group.options
        else:
            parameters.append(_keyword(name, annotation, parameter.default))

    @functools.wraps(command)
    def called(**given: Any) -> None:
        made = {name: group.made_from(given) for name, group in groups.items()}
        command(**made, **given)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


@dataclass(frozen=True)
class _Group:
    """A parameter that is a dataclass, and the options that it takes from the command line."""

    kind: type
    options: tuple[inspect.Parameter, ...]
    may_be_none: bool

    def made_from(self, given: dict[str, Any]) -> Any:
        """Make the dataclass, and take its options out of what was given."""
        # a direct call may leave an option out
        taken = {each.name: given.pop(each.name) for each in self.options if each.name in given}
        if self.may_be_none and all(
            taken.get(each.name, each.default) == each.default for each in self.options
        ):
            return None
        return self.kind(**taken)


def _group_of(annotation: Any) -> _Group | None:
    marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    kinds = get_args(marks[0]) if get_origin(marks[0]) is UnionType else (marks[0],)
    if not (isinstance(kinds[0], type) and is_dataclass(kinds[0])):
        return None
    left_out = {name for mark in marks[1:] if isinstance(mark, Without) for name in mark.names}
    return _Group(kinds[0], tuple(_options(kinds[0], left_out)), NoneType in kinds)


def _options(group: type, left_out: set[str]) -> Iterator[inspect.Parameter]:
    declared = {field.name: field for field in fields(group) if field.init}
    if unknown := left_out - set(declared):
        raise ValueError(f"{group.__name__} has no field {', '.join(sorted(unknown))} to leave out.")
    hints = get_type_hints(group, include_extras=True)
    for name, field in declared.items():
        if name not in left_out:
            yield _keyword(name, hints[name], _default(field))


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
