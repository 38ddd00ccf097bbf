"""The roles of a table's columns as a reader is told them: looked up early, and turned into a cohort."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dallm.cohort import Cohort
from dallm.errors import ReaderError, did_you_mean

_LOG = logging.getLogger("dallm.readers")


@dataclass(frozen=True)
class ColumnRoles:
    """Which column plays which role, in the words of :class:`dallm.Cohort`."""

    id: str
    group: str | None = None
    report: tuple[str, ...] = ()
    numeric: Mapping[str, str] = field(default_factory=dict)
    categorical: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Every column that has a role."""
        group = [] if self.group is None else [self.group]
        return [self.id, *group, *self.report, *self.numeric, *self.categorical, *self.targets]

    def require(self, columns: Iterable[str], where: str) -> None:
        """Refuse a role whose column is not among `columns`.

        Raises
        ------
        ReaderError
            If one is not there; the message suggests the nearest name.
        """
        there = list(columns)
        group = {} if self.group is None else {"group": [self.group]}
        roles: dict[str, list[str]] = {
            "id": [self.id],
            **group,
            "report": list(self.report),
            "numeric": list(self.numeric),
            "categorical": list(self.categorical),
            "targets": list(self.targets),
        }
        for role, names in roles.items():
            for name in names:
                if name not in there:
                    shown = ", ".join(there[:12]) + (", ..." if len(there) > 12 else "")
                    near = did_you_mean(name, there)
                    raise ReaderError(f"{where} has no column {name!r} ({role}).{near} It has: {shown}.")


def names_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Take one name or a sequence of names."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def build_cohort(
    frame: pd.DataFrame, roles: ColumnRoles, *, data_use: str, notes: Sequence[str], verbose: bool
) -> Cohort:
    """Make the cohort; say the notes to the log, and on the screen where that is asked for."""
    for note in notes:
        _LOG.info(note)
        if verbose:
            print(note)
    return Cohort(
        frame,
        id=roles.id,
        group=roles.group,
        report=roles.report,
        numeric=dict(roles.numeric),
        categorical=roles.categorical,
        targets=roles.targets,
        data_use=data_use,
        notes=notes,
    )
