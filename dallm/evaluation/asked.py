"""What an evaluation was asked for: sets, targets, protocol and baseline, found and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.fits import Inputs
from dallm.evaluation.inputs import check_inputs
from dallm.evaluation.protocols import AsPublished, Holdout, LeakFree, Protocol

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort

_ON_LEAK = ("raise", "report")
_IN_PLACE_OF_BASELINE = ("original", "random", "tfidf", "permuted")
_OF_SPLITS = ("patient", "row")  # what the audit calls findings that are no column


def check_choices(on_leak: str, controls: Sequence[str], seed: object) -> None:
    """Refuse what is wrong before anything is computed."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UserError(f"seed={seed!r}: give a whole number of 0 or more.")
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
) -> tuple[Inputs, Protocol, set[str]]:
    """Return checked inputs, the protocol with its marks looked up, and which leaks are to pass.

    Shared patients of a :class:`Holdout` pass where either the protocol or `allow_leaks` says so.
    """
    labels = _targets(targets, cohort)
    allowed = {allow_leaks} if isinstance(allow_leaks, str) else set(allow_leaks)
    without: tuple[str, ...] = ()
    if isinstance(protocol, (Holdout, AsPublished)):
        marks = protocol.column if isinstance(protocol, Holdout) else protocol.split
        protocol = protocol.bind(_tables(feature_sets, labels, cohort))
        if isinstance(protocol, Holdout):
            if protocol.allow_shared_patients:
                allowed.add("patient")
            elif "patient" in allowed or on_leak == "report":
                protocol = replace(protocol, allow_shared_patients=True)
        without = (marks,) if isinstance(marks, str) else ()
        if isinstance(labels, pd.DataFrame):
            labels = labels.drop(columns=[name for name in without if name in labels.columns])
    among = allowed
    if on_leak == "report" and isinstance(labels, (pd.DataFrame, pd.Series)):
        names = labels.columns if isinstance(labels, pd.DataFrame) else [labels.name]
        among = {str(name) for name in names}
    inputs = check_inputs(feature_sets, labels, groups, cohort=cohort, without=without, allow_leaks=among)
    _check_allowed(allowed, inputs, feature_sets)
    return inputs, protocol, allowed


def _check_allowed(allowed: Collection[str], inputs: Inputs, feature_sets: Any) -> None:
    """Refuse names that no feature set has: a slip would leave the leak that it means refused, or unseen."""
    given = list(feature_sets.values()) if isinstance(feature_sets, Mapping) else [feature_sets]
    frames = [one if isinstance(one, pd.DataFrame) else one.frame for one in given]
    known = {str(name) for frame in (*inputs.sets.values(), *frames) for name in frame.columns}
    for name in allowed:
        if name not in known | {*_OF_SPLITS, *inputs.targets.columns}:
            raise UserError(
                f"allow_leaks= names {name!r} (on the command line --allow-leak {name}), but no feature set "
                f"has this column.{did_you_mean(str(name), [*known, *_OF_SPLITS])} What is no column: "
                "'patient' for patients on both sides of a split, 'row' for cases."
            )


def _targets(targets: Any, cohort: Cohort | None) -> Any:
    """Return labels; those of the cohort where columns of it are named, or nothing is."""
    names = [targets] if isinstance(targets, str) else targets
    named = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    if names is not None and not named:
        return targets
    if cohort is None and names:
        raise UserError(
            f"targets= names {', '.join(repr(name) for name in names)}, columns of a cohort, and there is no "
            "cohort. Give cohort=, or the labels themselves: a DataFrame with one boolean column per target."
        )
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


def control_as_baseline(made: Collection[str], alone: str) -> tuple[str, str]:
    """Return what a feature set that stands alone is held against, and a line that says so.

    Random columns of the same kinds come before the report's words: they say whether it tells anything.
    """
    for name in _IN_PLACE_OF_BASELINE:
        if name in made:
            return name, f"There is no other feature set, so {alone!r} is held against the control {name!r}."
    return alone, ""


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
