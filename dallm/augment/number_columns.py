"""A filled table as columns of numbers, as scikit-learn's models want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dallm.features import FeatureSet

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented


@dataclass(frozen=True)
class NumberColumns:
    """Which columns a table of numbers has, in order: measured, categories, features.

    Parameters
    ----------
    features : FeatureSet
        A categorical one gives a column per level.
    columns : mapping of str to str
        By feature: the column of the filled table.
    measured : tuple of str
        Measured columns that are kept as they are.
    categories : mapping of str to tuple
        By column of the table: its values, each of which gives a column.
    """

    features: FeatureSet
    columns: Mapping[str, str]
    measured: tuple[str, ...]
    categories: Mapping[str, tuple[Any, ...]]

    def names(self) -> list[str]:
        """Return the names of the columns."""
        names = list(self.measured)
        names += [f"{column}={value}" for column, values in self.categories.items() for value in values]
        for feature in self.features:
            column = self.columns[feature.name]
            if feature.kind == "categorical":
                names += [f"{column}={level}" for level in feature.levels or ()]
            else:
                names.append(column)
        return names

    def of(self, augmented: Augmented) -> np.ndarray[Any, Any]:
        """Return the values, shape (cases, columns), ``float64``; NaN where nothing is known."""
        columns: list[np.ndarray[Any, Any]] = []
        if self.measured or self.categories:
            table = augmented.cohort.measured()
            columns += [_floats(table[column]) for column in self.measured]
            for column, values in self.categories.items():
                columns += _one_hot(table[column], values)
        for feature in self.features:
            filled = augmented.frame[self.columns[feature.name]]
            if feature.kind == "categorical":
                columns += _one_hot(filled, feature.levels or ())
            elif feature.kind == "ordinal":
                codes = filled.cat.codes.to_numpy(dtype=float)
                columns.append(np.where(codes < 0, np.nan, codes))
            else:
                columns.append(_floats(filled))
        return np.column_stack(columns)


def _floats(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    return values.to_numpy(dtype=float, na_value=np.nan)


def _one_hot(values: pd.Series[Any], levels: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """One column per level; NaN in all of them where the value is missing, 0 where it is none of them."""
    missing = values.isna().to_numpy()
    return [
        np.where(missing, np.nan, (values == level).fillna(False).to_numpy(dtype=float)) for level in levels
    ]
