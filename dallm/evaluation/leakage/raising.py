"""From an audit to an error, unless the user said that a leak is wanted."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5


def raise_leaks(audit: pd.DataFrame, on_leak: str = "raise", allow_leaks: Collection[str] = ()) -> None:
    """Refuse what the audit found severe.

    Parameters
    ----------
    audit : DataFrame
        As :func:`.audit.audit` returns it.
    on_leak : {"raise", "report"}, default="raise"
        With ``report`` nothing is refused; the findings stand in the report.
    allow_leaks : collection of str
        Columns (for shared patients ``patient``, for shared or copied rows ``row``) that are wanted all the
        same.

    Raises
    ------
    UserError
        Naming column, target and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> from dallm.evaluation.leakage.audit import LEAKAGE
    >>> found = pd.DataFrame([["refuse", "identical", "again", "edema", "equal", "all"]], columns=LEAKAGE)
    >>> raise_leaks(found, allow_leaks=["again"])
    >>> raise_leaks(found)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dallm.errors.UserError: 'again' gives away the target 'edema': equal (feature set 'all'). ...
    """
    if on_leak not in ("raise", "report"):
        near = did_you_mean(on_leak, ("raise", "report"))
        raise UserError(f"on_leak= is 'raise' or 'report', got {on_leak!r}.{near}")
    allowed = {allow_leaks} if isinstance(allow_leaks, str) else set(allow_leaks)
    severe = audit[(audit["severity"] == "refuse") & ~audit["column"].isin(allowed)]
    if on_leak == "report" or severe.empty:
        return
    first = severe.drop_duplicates(["column", "target", "kind"])
    said = [
        f"{row['column']!r} gives away the target {row['target']!r}: {row['detail']}{_where(row)}."
        for row in first.head(_SHOWN).to_dict("records")
    ]
    if len(first) > _SHOWN:
        said.append(f"And {len(first) - _SHOWN:,} more.")
    columns = list(dict.fromkeys(first["column"]))[:_SHOWN]
    names = ", ".join(repr(name) for name in columns)
    of_splits, copies = severe["kind"].str.startswith("shared"), severe["kind"] == "duplicate rows"
    steps = ["drop the column"] if not (of_splits | copies).all() else []
    steps += ["make splits that keep the cases of a patient on one side"] if of_splits.any() else []
    steps += ["drop the copies, or give copy and original one patient"] if copies.any() else []
    options = " ".join(f"--allow-leak {shlex.quote(str(name))}" for name in columns)
    remedy = (
        f"{' and '.join(steps).capitalize()}; if it is wanted, give allow_leaks=[{names}], or "
        "on_leak='report' to have all of it listed only (on the command line "
        f"{options}, or --on-leak report)."
    )
    raise UserError(" ".join([*said, remedy]))


def _where(row: Mapping[Any, Any]) -> str:
    return f" (feature set {row['feature_set']!r})" if row["feature_set"] else ""
