"""What a feature set lacks of the paper's: how many features, which, and what may be meant by them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dallm.case_ids import count
from dallm.errors import did_you_mean
from dallm.paper.published import table4_feature_counts
from dallm.paper.table4_columns import names_of, table4_set
from dallm.vitals import known_vital

_PARTS = {
    "original": ("original",),
    "augmented": ("original", "generated"),
    "expert": ("original", "generated", "expert"),
    "no_knowledge": ("original", "generated", "expert"),
}
_MOST = 6


def gap_of(name: str, columns: Sequence[str], every: Iterable[str]) -> str | None:
    """Say what a set of the paper's name lacks, or None where it has as many features as the paper's.

    Parameters
    ----------
    name : str
        Of the feature set.
    columns : sequence of str
        Its features.
    every : iterable of str
        All columns of the table: another spelling may stand there.

    Examples
    --------
    >>> have = [n for n in names_of("original") if n != "heartrate"]
    >>> gap_of("original", have, [*have, "heart_rate", "split"])
    "original: 7 features, the paper has 8; missing: 'heartrate' (did you mean 'heart_rate'?)"
    """
    row = table4_set(name, len(columns))
    if row is None or len(columns) == table4_feature_counts()[row]:
        return None
    wanted = dict.fromkeys(c for part in _PARTS[row] for c in names_of(part))
    missing = [c for c in wanted if c not in columns]
    other = [c for c in every if c not in wanted]
    said = f"{name}: {count(len(columns), 'feature')}, the paper has {table4_feature_counts()[row]}"
    if missing and len(missing) < len(wanted):
        shown = ", ".join(f"{c!r}{_meant(c, other)}" for c in missing[:_MOST])
        more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
        said += f"; missing: {shown}{more}"
    beyond = len([c for c in columns if c not in wanted])
    if beyond and beyond < len(columns):
        said += f"; {count(beyond, 'feature')} are none of the paper's"
    return said


def _meant(name: str, other: Sequence[str]) -> str:
    own = name in names_of("original")
    # a label is called like a generated feature, but for its capital letter: that is no other spelling
    same = [c for c in other if _squeezed(c) == _squeezed(name) and (own or c.lower() != name)]
    same += [c for c in other if own and _same_vital(c, name)]
    hint = f" Did you mean {same[0]!r}?" if same else did_you_mean(name, other) if own else ""
    return f" ({hint.strip()[0].lower()}{hint.strip()[1:]})" if hint else ""


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _same_vital(one: str, two: str) -> bool:
    vital = known_vital(one)
    return vital is not None and vital == known_vital(two)
