"""What calls came to: counts, tokens, cost and time, summed by day, model or endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.engines.llm.cache.files import OwnFile

ANSWERED = "ok"
MAYBE_PAID = ("timeout", "cut_off", "connection", "cancelled")
"""Kinds of failure after which the server may have worked, and charge for it."""

GROUPS = {
    "day": "date(sent, 'unixepoch', 'localtime')",
    "model": "model",
    "endpoint": "host",
    "agreement": "agreement",
}
"""What calls can be summed by; a day is one of the clock of this machine."""


class Totals(NamedTuple):
    """Sums over calls.

    `tokens_read` holds the `tokens_cached`; tokens are those that servers reported. `cost` is the sum over
    the `priced` calls. `maybe_paid` counts calls that may have been charged without an answer: broken off, or
    still without any word of them.
    """

    calls: int = 0
    answered: int = 0
    failed: int = 0
    unanswered: int = 0
    maybe_paid: int = 0
    tokens_read: int = 0
    tokens_cached: int = 0
    tokens_written: int = 0
    cost: float = 0.0
    priced: int = 0
    retries: int = 0
    latency_s: float = 0.0


_SUMS = (
    "count(*)",
    f"count(*) filter (where outcome = '{ANSWERED}')",
    f"count(*) filter (where outcome != '{ANSWERED}')",
    "count(*) filter (where outcome is null)",
    f"count(*) filter (where outcome is null or outcome in {MAYBE_PAID})",
    "cast(total(read) as integer)",
    "cast(total(cached) as integer)",
    "cast(total(written) as integer)",
    "total(cost)",
    "count(cost)",
    "cast(total(retries) as integer)",
    f"total(latency) filter (where outcome = '{ANSWERED}')",
)  # in the order of the fields of Totals


def summed(
    file: OwnFile, by: Sequence[str], since: float | None, model: str | None
) -> Mapping[tuple[str, ...], Totals]:
    """Return sums over the calls of a ledger's file, by group and in the groups' order.

    Parameters
    ----------
    file : OwnFile
    by : sequence of {"day", "model", "endpoint", "agreement"}
        None for one sum over all.
    since : float or None
        Only calls sent at that time or later, in seconds since 1970.
    model : str or None
        Only calls to this model.

    Raises
    ------
    UserError
        If calls cannot be summed so.
    """
    for name in by:
        if name not in GROUPS:
            raise UserError(
                f"Calls are summed by {', '.join(GROUPS)}; got {name!r}.{did_you_mean(name, GROUPS)}"
            )
    keys = [GROUPS[name] for name in by]
    group = f" group by {', '.join(keys)} order by {', '.join(keys)}" if keys else ""
    found = file.rows(
        f"select {', '.join((*keys, *_SUMS))} from calls where sent >= ? and (? is null or model = ?){group}",
        (since or 0.0, model, model),
    )
    sums = {tuple(map(str, row[: len(keys)])): Totals._make(row[len(keys) :]) for row in found}
    return {key: total for key, total in sums.items() if total.calls}
