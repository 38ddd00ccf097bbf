"""Options that several commands take together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from dallm.cli.option_groups import Without, with_groups


@dataclass(frozen=True, kw_only=True)
class Bounds:
    low: Annotated[int, typer.Option("--low")] = 0
    high: Annotated[int, typer.Option("--high")] = 10
    names: Annotated[list[str], typer.Option("--name")] = field(default_factory=list)
    width: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError("high is below low")


def ran(command, *args):
    app = typer.Typer()
    app.command()(with_groups(command))
    return CliRunner().invoke(app, args)


def show(*, word: Annotated[str, typer.Option("--word")], bounds: Bounds) -> None:
    typer.echo(f"{word} {bounds.low} {bounds.high} {bounds.names}")


def test__group__some_options_given__the_rest_keeps_its_defaults():
    done = ran(show, "--word", "a", "--high", "3", "--name", "x", "--name", "y")
    assert done.stdout == "a 0 3 ['x', 'y']\n"
    assert ran(show, "--word", "a").stdout == "a 0 10 []\n"


def test__group__values_that_do_not_fit__are_refused_before_the_command():
    assert str(ran(show, "--word", "a", "--high", "-1").exception) == "high is below low"


def without_high(*, bounds: Annotated[Bounds | None, Without("high")]) -> None:
    typer.echo("none" if bounds is None else f"{bounds.low} {bounds.high}")


def test__group__that_may_be_none__is_none_where_no_option_is_given():
    assert ran(without_high).stdout == "none\n"
    assert ran(without_high, "--low", "2").stdout == "2 10\n"


def test__without__a_field__its_option_is_unknown():
    refused = ran(without_high, "--high", "2")
    assert (refused.exit_code, "No such option" in refused.stderr) == (2, True)


def test__without__no_such_field__is_refused():
    def slip(*, bounds: Annotated[Bounds, Without("hihg")]) -> None:
        """Never called."""

    with pytest.raises(ValueError, match="Bounds has no field hihg"):
        with_groups(slip)


def test__group__name_of_another_option__is_refused():
    def twice(*, low: Annotated[int, typer.Option("--low")] = 1, bounds: Bounds) -> None:
        """Never called."""

    with pytest.raises(ValueError, match="duplicate parameter name: 'low'"):
        with_groups(twice)
