"""What an evaluation was asked for: sets, targets, protocol and baseline, found and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.fits import Inputs
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.protocols import AsPublished, Holdout, LeakFree, Protocol

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort

_ON_LEAK = ("raise", "report")


def check_choices(on_leak: str, controls: Sequence[str]) -> None:
    """Refuse what is wrong before anything is computed."""
    if on_leak not in _ON_LEAK:
        raise UserError(
            f"on_leak= is 'raise' or 'report', got {on_leak!r}.{did_you_mean(str(on_leak), _ON_LEAK)}"
        )
    if isinstance(controls, str):
        raise UserError(f"controls= takes a list of names; write [{controls!r}].")


def provenance(
    feature_sets: object, cohort: Cohort | None, augmented: Augmented | None
) -> tuple[Cohort | None, Augmented | None]:
    """Return cohort and augmented as given, else those of the feature sets."""
    from dallm.augment.augmented import Augmented

    if augmented is None:
        given = list(feature_sets.values()) if isinstance(feature_sets, Mapping) else [feature_sets]
        found = [one for one in given if isinstance(one, Augmented)]
        augmented = found[-1] if found else None
    if cohort is None and augmented is not None:
        cohort = augmented.cohort
    return cohort, augmented


def protocol_of(protocol: str | Protocol) -> Protocol:
    if isinstance(protocol, str):
        if protocol == "leak_free":
            return LeakFree()
        hint = did_you_mean(protocol, ["leak_free"])
        if protocol in ("holdout", "as_published"):
            kind = "Holdout" if protocol == "holdout" else "AsPublished"
            hint = f" It takes the column that marks train and test: protocol=dallm.{kind}('split')."
        raise UserError(f"protocol={protocol!r} is not known; it is 'leak_free' or a Protocol.{hint}")
    if not isinstance(protocol, Protocol):
        raise UserError(
            f"protocol= is a {type(protocol).__name__}; give 'leak_free', dallm.LeakFree(...), "
            "dallm.Holdout(...) or dallm.AsPublished(...)."
        )
    return protocol


def inputs_of(
    feature_sets: Any,
    targets: Any,
    groups: Any,
    cohort: Cohort | None,
    protocol: Protocol,
    *,
    on_leak: str,
    allow_leaks: Collection[str],
) -> tuple[Inputs, Protocol]:
    """Return checked inputs, and the protocol with the marks of its split looked up."""
    labels = _targets(targets, cohort)
    without: tuple[str, ...] = ()
    if isinstance(protocol, (Holdout, AsPublished)):
        marks = protocol.column if isinstance(protocol, Holdout) else protocol.split
        protocol = protocol.bind(_tables(feature_sets, labels, cohort))
        without = (marks,) if isinstance(marks, str) else ()
        if isinstance(labels, pd.DataFrame):
            labels = labels.drop(columns=[name for name in without if name in labels.columns])
    if on_leak == "report" and isinstance(labels, (pd.DataFrame, pd.Series)):
        names = labels.columns if isinstance(labels, pd.DataFrame) else [labels.name]
        allow_leaks = [str(name) for name in names]
    inputs = check_inputs(
        feature_sets, labels, groups, cohort=cohort, without=without, allow_leaks=allow_leaks
    )
    return inputs, protocol


def _targets(targets: Any, cohort: Cohort | None) -> Any:
    """Return labels; those of the cohort where columns of it are named, or nothing is."""
    names = [targets] if isinstance(targets, str) else targets
    named = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if names is not None and not named:
        return targets
    if cohort is None:
        raise UserError(
            "No targets were given. Give a DataFrame with one boolean column per target, or cohort= with "
            "targets."
        )
    table = cohort.frame.set_axis(cohort.ids, axis=0)
    chosen = list(cohort.targets) if names is None else list(names)
    if not chosen:
        raise UserError("The cohort declares no targets; give targets=, or name them in the Cohort.")
    for name in chosen:
        if name not in table.columns:
            raise UserError(
                f"The cohort has no column {name!r} to be a target.{did_you_mean(name, list(table.columns))}"
            )
    return table[chosen]


def _tables(feature_sets: Any, labels: Any, cohort: Cohort | None) -> list[pd.DataFrame]:
    """Return the tables that a column may be looked up in."""
    given = list(feature_sets.values()) if isinstance(feature_sets, Mapping) else [feature_sets]
    found = [cohort.frame.set_axis(cohort.ids, axis=0)] if cohort is not None else []
    return [*found, *(one for one in [labels, *given] if isinstance(one, pd.DataFrame))]


def baseline_of(baseline: str | None, inputs: Inputs) -> str:
    if baseline is None:
        return next(iter(inputs.sets))
    if baseline not in inputs.sets:
        raise UserError(
            f"The baseline {baseline!r} is no feature set; there are {list(inputs.sets)}."
            f"{did_you_mean(baseline, inputs.sets)}"
        )
    return baseline


def aliases_of(
    aliases: Mapping[str, str | Sequence[str]] | None, inputs: Inputs
) -> dict[str, tuple[str, ...]]:
    """Return further names per target, each target one of the inputs."""
    if aliases is not None and not isinstance(aliases, Mapping):
        raise UserError(
            f"aliases= is a {type(aliases).__name__}; give a mapping of targets to their further names, for "
            "example {'cardiomegaly': ['enlarged heart']}."
        )
    targets = [str(name) for name in inputs.targets.columns]
    found = {}
    for target, names in (aliases or {}).items():
        if target not in targets:
            raise UserError(
                f"aliases= names the target {target!r}; the targets are {targets}."
                f"{did_you_mean(str(target), targets)}"
            )
        found[target] = (names,) if isinstance(names, str) else tuple(names)
        wrong = [name for name in found[target] if not isinstance(name, str) or not name.strip()]
        if wrong:
            raise UserError(f"aliases= gives {wrong[0]!r} as a name of {target!r}; give names of letters.")
    return found
