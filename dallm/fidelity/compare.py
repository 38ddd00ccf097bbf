"""How near filled values are to measured ones (Experiment I)."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

import dallm
from dallm.errors import UserError
from dallm.fidelity import baselines as base
from dallm.fidelity.acceptable import Acceptable, checked_limits
from dallm.fidelity.columns import checked_truth
from dallm.fidelity.inputs import Given, chosen_features, named_tables, read_parts
from dallm.fidelity.other_units import other_units
from dallm.fidelity.result import Fidelity, acceptable_frame
from dallm.fidelity.scoring import blocks_of, method_sums, score

if TYPE_CHECKING:
    from dallm.cohort import Cohort
    from dallm.fidelity.mmtf import MMTFSettings

_PUBLISHED_BASELINES = (
    "gaussian and mean are as published: made from all rows, the measured values included. The others are "
    "fitted on the patients of the other folds, with the vital that they fill taken out of the row."
)


def value_fidelity(
    truth: pd.DataFrame | Cohort,
    filled: Any = None,
    *,
    features: Sequence[str] | None = None,
    groups: pd.Series[Any] | Sequence[Any] | None = None,
    units: Mapping[str, str] | None = None,
    baselines: str | Sequence[str] = "auto",
    text: Sequence[str] | None = None,
    images: Any = None,
    acceptable: Mapping[str, Acceptable | float | None] | None = None,
    folds: int = 5,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    device: str = "cpu",
    mmtf: MMTFSettings | None = None,
    progress: Callable[[str], None] | None = None,
) -> Fidelity:
    """Set filled values beside measured ones, with simple baselines in the same table.

    The published error of a column is the mean over the filled rows of ``(truth - filled) ** 2``, divided by
    the population variance of the truth over all rows; its mean is the plain mean over the columns. Filling
    the mean everywhere scores 1.

    Parameters
    ----------
    truth : DataFrame of shape (n_rows, n_columns), or Cohort
        What was measured. A cohort also gives units, patients and reports.
    filled : DataFrame, Augmented, or a mapping of name to one of them, optional
        What was filled, on the same index; it may hold fewer rows. Wide, with columns ``sbp``, ``aug_sbp`` or
        ``sbp__filled``, or long, with columns ``feature`` and ``value`` and the row's id. A list of tables is
        taken as one: ``fill_existing(which="masked")`` is called once per column.
    features : sequence of str, optional
        Columns to compare. By default those that a filled table has.
    groups : sequence of shape (n_rows,), optional
        The patient of each row, for the intervals and the folds. By default every row is a patient.
    units : mapping of str to str, optional
        Units of the columns; by default the unit in which the values are possible.
    baselines : str or sequence of str, default="auto"
        Names in :data:`dallm.fidelity.baselines.BASELINES`. ``"auto"``: those that take seconds; ``"all"``:
        also the transformer ``mmtf``, which takes minutes to hours; ``"none"`` or ``()``: none.
    text : sequence of str of shape (n_rows,), optional
        Reports, for ``ridge_text`` and ``mmtf``.
    images : array of shape (n_rows, dimension), optional
        Image embeddings, for ``mmtf``.
    acceptable : mapping, optional
        Acceptable differences by column or measurement: a number in the column's unit, None for no limit, or
        what :func:`dallm.fidelity.acceptable.acceptable_differences` reads. They replace the rows of these
        measurements; the others keep theirs.
    folds : int, default=5
    n_bootstrap : int, default=1000
        How often patients are drawn again; 0 for no intervals.
    confidence : float, default=0.95
    seed : int, default=0
    device : str, default="cpu"
        Where ``mmtf`` is trained.
    mmtf : MMTFSettings, optional
        Its size and training; by default as published.
    progress : callable, optional
        Is told in a line what begins.

    Returns
    -------
    Fidelity

    Raises
    ------
    UserError
        If rows or columns do not fit, or values are text, infinite, all missing or constant.

    Examples
    --------
    >>> import pandas as pd
    >>> truth = pd.DataFrame({"sbp": [110.0, 120.0, 130.0, 140.0], "dbp": [70.0, 75.0, 80.0, 95.0]})
    >>> filled = pd.DataFrame({"aug_sbp": [110.0, 120.0, 130.0, 120.0], "aug_dbp": [70.0, 75.0, 80.0, None]})
    >>> found = value_fidelity(truth, {"mine": filled}, baselines="mean", n_bootstrap=0)
    >>> print(found.table().rename_axis(None))
          sbp  dbp  mean
    mine  0.8  0.0   0.4
    mean  1.0  1.0   1.0
    """
    _check_numbers(folds=folds, n_bootstrap=n_bootstrap, confidence=confidence)
    given = Given.of(truth, groups=groups, units=units, text=text, images=images)
    tables = named_tables(filled)
    chosen = chosen_features(given.frame, tables, features)
    measured = checked_truth(given.frame, chosen)
    names = list(chosen)
    notes: list[str] = []
    methods = {name: read_parts(parts, measured.index, names, name, notes) for name, parts in tables.items()}
    notes += [
        f"{name} equals the measured values in every row and column: is it the measured table itself?"
        for name, columns in methods.items()
        if _is_truth(measured, columns)
    ]
    table = checked_limits(acceptable, names)
    limits = {f: given.limit(f, measured[f], table) for f in names}
    for name, columns in methods.items():
        notes += other_units(name, measured, columns, {f: unit for f, (unit, _) in limits.items()})
    blocks = blocks_of(given.groups, seed)
    sums = {}
    for name in list(methods):  # what was read is as large as the table, its sums are not
        sums[name] = method_sums(measured, methods.pop(name), limits, blocks)
    wanted = base.chosen_baselines(baselines, has_text=given.text is not None, n_rows=len(measured))
    task = base.FillTask(measured, given.groups, given.text, given.images, folds, seed, device, mmtf)
    for name in wanted:
        if progress is not None:
            progress(f"baseline {name}")
        try:
            made = base.run_baseline(name, task)
        except base.NotRunError as error:
            notes.append(f"Baseline {name} was not run: {error}.")
            continue
        label = name if name not in sums else f"{name} (baseline)"
        sums[label] = method_sums(measured, {f: made[f] for f in names}, limits, blocks)
        del made
    if not sums:
        raise UserError("There is nothing to compare: pass filled=, or name baselines.")
    if wanted:
        notes.append(_PUBLISHED_BASELINES)
    scores = score(
        sums,
        names,
        limits,
        n_bootstrap=n_bootstrap,
        confidence=confidence,
        seed=seed,
    )
    if not given.grouped and n_bootstrap:
        notes.append("No patients were named: intervals and folds take every row for a patient of its own.")
    settings = {
        "seed": seed,
        "n_bootstrap": n_bootstrap,
        "confidence": confidence,
        "folds": folds,
        "rows": len(measured),
        "patients": int(given.groups.max()) + 1,
        "dallm": dallm.__version__,
        "python": platform.python_version(),
    }
    rows = [
        (f, None, unit, None, "none", "")
        if limit is None
        else (f, limit.difference, unit, limit.share, limit.source, limit.note)
        for f, (unit, limit) in limits.items()
    ]
    found = Fidelity(scores, acceptable_frame(rows), tuple(notes), settings)
    return replace(found, notes=(*found.notes, *_partly_filled(found)))


def _is_truth(measured: pd.DataFrame, columns: Mapping[str, pd.Series[float]]) -> bool:
    pairs = [(measured[f].reindex(values.index), values) for f, values in columns.items()]
    return all(bool((t.eq(v) | t.isna() & v.isna()).all()) for t, v in pairs)


def _partly_filled(found: Fidelity) -> list[str]:
    """Say whose figures are of few rows: an error over the easy tenth is no smaller error."""
    return [
        f"{method} filled {value:.1%} of the measured values; its figures are of those rows alone."
        for method, value in found.filled_share().items()
        if value < 0.9995
    ]


def _check_numbers(*, folds: int, n_bootstrap: int, confidence: float) -> None:
    if folds < 2:
        raise UserError(f"folds must be 2 or more, got {folds}.")
    if n_bootstrap < 0:
        raise UserError(f"n_bootstrap must be 0 or more, got {n_bootstrap}.")
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1, got {confidence}; for 95 % write 0.95.")
