"""How far a filled value may lie from the measured one and still count as the same, with sources."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dallm.errors import UserError, did_you_mean
from dallm.resources import data_path
from dallm.vitals import known_vital


@dataclass(frozen=True, slots=True)
class Acceptable:
    """The acceptable difference of one measurement, in one unit.

    Attributes
    ----------
    difference : float
        Largest difference, itself allowed, in `unit`.
    unit : str
    share : float, optional
        That share of the measured value is acceptable, too; the wider of the two counts.
    source : str
        A standard, or ``"convention"``.
    note : str
    """

    difference: float
    unit: str
    share: float | None = None
    source: str = "convention"
    note: str = ""

    def within(self, truth: NDArray[np.float64], filled: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which filled values are acceptable.

        Examples
        --------
        >>> rate = Acceptable(5, "/min", share=0.1)
        >>> rate.within(np.array([60.0, 60.0, 120.0]), np.array([65.0, 67.0, 132.0])).tolist()
        [True, False, True]
        """
        allowed = np.full(len(truth), self.difference)
        if self.share is not None:
            allowed = np.maximum(allowed, self.share * np.abs(truth))
        # 98.6 - 98.3 is a little more than 0.3 in binary: what prints as equal must count as equal
        return np.asarray(np.abs(truth - filled) <= allowed + 1e-9)


def acceptable_differences(path: str | Path | None = None) -> dict[str, Acceptable]:
    """Read the acceptable differences, by the name of the measurement.

    Parameters
    ----------
    path : path, optional
        A file of your own, whose rows replace those of ``data/acceptable_differences.toml`` and of no other
        measurement.

    Raises
    ------
    UserError
        If the file cannot be read; the message names the entry.

    Examples
    --------
    >>> acceptable_differences()["systolic blood pressure"].source
    'ISO 81060-2'
    """
    common = _rows(data_path("acceptable_differences.toml"))
    return common if path is None else edited(_rows(Path(path)), common)


def _rows(path: Path) -> dict[str, Acceptable]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["acceptable"]
        return {str(entry["vital"]): _read(entry) for entry in entries}
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{str(path)!r} is no table of acceptable differences ({error}); every [[acceptable]] needs "
            "vital, unit and a difference above 0."
        ) from error


def edited(own: Mapping[str, Acceptable | float | None], common: Mapping[str, Acceptable]) -> dict[str, Any]:
    """Return a table in which the rows of `own` stand in place of those of the same measurement.

    Examples
    --------
    >>> sorted(edited({"sbp": 5}, {"systolic blood pressure": 10, "heart rate": 5}))
    ['heart rate', 'sbp']
    """
    mine = {_measurement(name) for name in own}
    return {name: row for name, row in common.items() if _measurement(name) not in mine} | dict(own)


def _measurement(name: str) -> str:
    vital = known_vital(name)
    return vital.name if vital is not None else name


def checked_limits(
    given: Mapping[str, Acceptable | float | None] | None, features: Sequence[str]
) -> dict[str, Any]:
    """Return the table to be used: the common one, with the rows that a user gave in place of its own.

    Parameters
    ----------
    given : mapping or None
        By column or measurement: a difference in the column's unit, an :class:`Acceptable`, or None for no
        limit.
    features : sequence of str
        Columns that are compared.

    Raises
    ------
    UserError
        If a row is of no column and no known measurement, or a limit is not above 0.
    """
    common = acceptable_differences()
    for name, limit in (given or {}).items():
        if name not in features and name not in common and known_vital(str(name)) is None:
            near = did_you_mean(name, [*features, *common])
            raise UserError(
                f"acceptable names {name!r}, which is no column that is compared and no measurement.{near} "
                f"Columns: {', '.join(features)}."
            )
        value = limit.difference if isinstance(limit, Acceptable) else limit
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if value is not None and not (number and 0 < float(value) < np.inf):
            raise UserError(f"acceptable[{name!r}] must be a number above 0, got {value!r}.")
    return edited(given or {}, common)


def _read(entry: Mapping[str, Any]) -> Acceptable:
    difference, share = float(entry["difference"]), entry.get("share")
    if not difference > 0 or (share is not None and not 0 < float(share) < 1):
        raise ValueError(f"{entry['vital']}: difference {difference:g}, share {share}")
    return Acceptable(
        difference,
        str(entry["unit"]),
        None if share is None else float(share),
        str(entry.get("source", "convention")),
        str(entry.get("note", "")),
    )


def unit_of(feature: str, values: NDArray[np.float64], units: Mapping[str, str]) -> str:
    """Return the unit of a column: as given, else the one in which its values are possible.

    Examples
    --------
    >>> unit_of("temperature", np.array([98.1, 99.0]), {}), unit_of("temperature", np.array([36.6]), {})
    ('degF', 'degC')
    """
    if feature in units:
        return units[feature]
    vital = known_vital(feature)
    if vital is None:
        return ""
    middle = float(np.nanmedian(values))
    for unit in vital.units:
        low, high = vital.possible(unit.name)
        if low <= middle <= high:
            return unit.name
    return vital.unit


def acceptable_for(
    feature: str, unit: str, table: Mapping[str, Acceptable | float | None] | None = None
) -> Acceptable | None:
    """Return the acceptable difference of a column in its own unit, or None where the table has no row.

    Parameters
    ----------
    feature, unit : str
    table : mapping, optional
        By column or by measurement; a bare number is a difference in the column's unit.

    Examples
    --------
    >>> round(acceptable_for("temperature", "degF").difference, 2)
    0.54
    """
    table = acceptable_differences() if table is None else table
    vital = known_vital(feature)
    same = (name for name in table if vital is not None and _measurement(name) == vital.name)
    found = table[feature] if feature in table else table.get(next(same, feature))
    if found is None or not isinstance(found, Acceptable):
        return None if found is None else Acceptable(float(found), unit)
    if vital is None or not unit or unit == found.unit:
        return found
    scale = vital.unit_of(found.unit).scale / vital.unit_of(unit).scale
    return Acceptable(found.difference * scale, unit, found.share, found.source, found.note)
