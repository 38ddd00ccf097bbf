"""The three stages as a scikit-learn transformer: discovery in ``fit``, filling in ``transform``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from dallm.augment.cells import UNCERTAIN, Uncertain
from dallm.augment.columns import column_names
from dallm.augment.number_columns import NumberColumns
from dallm.augment.table_roles import TableRoles, with_targets
from dallm.errors import CohortError, FeatureError, UserError, did_you_mean
from dallm.features import Feature, FeatureSet, normalise_name
from dallm.knowledge.conditions import PAPER_CONDITIONS

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort
    from dallm.engines.base import Engine
    from dallm.knowledge.stores.base import KnowledgeStore

_OUTPUTS = ("new", "all")


class FeatureAugmenter(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn a table with reports into numeric clinical features.

    What is to be looked for is decided in `fit`, from `conditions` and the knowledge, or from `features`; it
    depends on the names and roles of the columns only, never on their values or on `y`. `transform` reads the
    reports and fills the features case by case, so that no case influences another.

    Parameters
    ----------
    conditions : sequence of str, optional
        Conditions whose features are discovered in the knowledge. Default: where `features` is given, none;
        else atelectasis, consolidation, enlarged cardiac silhouette, pleural effusion, pleural abnormality.
    features : FeatureSet or sequence of Feature, optional
        Features to fill in addition to the discovered ones.
    ack : Ack, optional
        Answers to the expert queries, for example shared by the folds of a cross-validation. Without them,
        `fit` asks the store.
    store : str, path or KnowledgeStore, optional
        Where the knowledge lives; a path is opened for reading in `fit`. Default: the primer that comes with
        dallm.
    engine : str or Engine, optional
        Default: ``"extractive"``.
    id : str, optional
        Column of case ids. Default: the table's index, or the row's position where the index is of no use.
    group : str, optional
        Column of the patient; it is never used as a feature.
    report : str or sequence of str, default=()
        Columns of free text.
    numeric : dict of str to str, optional
        Measured columns, each with its unit.
    categorical : str or sequence of str, default=()
        Further predictor columns.
    targets : str or sequence of str, default=()
        Names of what is to be predicted, whether they are columns of the table or not: features that restate
        one are not discovered, and such columns are shown to no engine. Where none is named, features that
        restate a condition are not discovered, since it may be what is to be predicted.
    uncertain : {"missing", "present", "absent"}, default="missing"
        Value of a boolean feature that the report only considers.
    output : {"new", "all"}, default="new"
        The features only, or the numeric and categorical columns followed by the features.
    data_use : {"credentialed", "open"}, default="credentialed"
        Whether report text may leave this machine.

    Attributes
    ----------
    features_ : FeatureSet
        What `transform` fills.
    ack_ : Ack or None
        The knowledge that was used.
    engine_ : Engine
    categories_ : dict of str to tuple
        With ``output="all"``: the values of each categorical column in the training table.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where the table had column names.

    Notes
    -----
    The result is of type ``float64`` throughout, as scikit-learn's models want it: boolean 1, 0; numeric in
    the feature's unit; ordinal 0, 1, ... from the mildest level; categorical one column ``<feature>=<level>``
    per level. Unknown is NaN, never 0: put an imputer behind it, or a model that takes NaN (a feature may be
    unknown in every training case: ``SimpleImputer(keep_empty_features=True)``). A table gives a DataFrame
    with the same index, an array an array. `augment` gives the values with their evidence.

    Without `ack`, every `fit` gathers the knowledge anew. It is the same for every fold: to cross-validate,
    make it once with :func:`dallm.build_ack` and pass it.

    Examples
    --------
    >>> from dallm import Feature
    >>> table = pd.DataFrame({"findings": ["No effusion. Mild cardiomegaly.", "Moderate effusion."]})
    >>> augmenter = FeatureAugmenter(
    ...     features=[Feature("pleural effusion", "boolean"), Feature("cardiomegaly", "boolean")],
    ...     report="findings",
    ... )
    >>> augmenter.fit_transform(table)
       pleural effusion  cardiomegaly
    0               0.0           1.0
    1               1.0           NaN
    """

    def __init__(
        self,
        conditions: Sequence[str] | None = None,
        features: FeatureSet | Sequence[Feature] | None = None,
        ack: Ack | None = None,
        store: str | Path | KnowledgeStore | None = None,
        engine: str | Engine | None = None,
        id: str | None = None,
        group: str | None = None,
        report: str | Sequence[str] = (),
        numeric: Mapping[str, str] | None = None,
        categorical: str | Sequence[str] = (),
        targets: str | Sequence[str] = (),
        uncertain: Uncertain = "missing",
        output: Literal["new", "all"] = "new",
        data_use: str = "credentialed",
    ) -> None:
        self.conditions = conditions
        self.features = features
        self.ack = ack
        self.store = store
        self.engine = engine
        self.id = id
        self.group = group
        self.report = report
        self.numeric = numeric
        self.categorical = categorical
        self.targets = targets
        self.uncertain = uncertain
        self.output = output
        self.data_use = data_use

    def fit(self, X: Any, y: Any = None) -> FeatureAugmenter:
        """Decide which features are filled.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cases, n_columns)
            The columns of an array are called ``x0``, ``x1``, ...
        y : ignored

        Returns
        -------
        FeatureAugmenter
            Itself.

        Raises
        ------
        UserError
            If a parameter, a column or the knowledge cannot be used; the message names it.
        """
        self._check_parameters()
        cohort = self._roles().cohort(self._table(X, reset=True))
        self.engine_ = self._make_engine()
        self.features_, self.ack_ = self._discover(cohort)
        if not len(self.features_):
            raise FeatureError(
                "There is no feature to fill: the knowledge names none that the table lacks. "
                "Give features=[...]."
            )
        self._columns = column_names(cohort, self.features_)
        self.categories_ = {
            column: tuple(sorted(cohort.frame[column].dropna().unique().tolist(), key=str))
            for column in (cohort.categorical if self.output == "all" else ())
        }
        self._warn_of_targets()
        return self

    def transform(self, X: Any) -> Any:
        """Fill the features.

        Parameters
        ----------
        X : DataFrame or array of shape (n_cases, n_columns)
            With the columns of the table given to `fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_cases, n_outputs)
            ``float64``, NaN where nothing is known.

        Raises
        ------
        CohortError
            If columns are missing, new or renamed since `fit`; the message lists them.
        """
        check_is_fitted(self, "features_")
        augmented = self._fill(self._roles().cohort(self._table(X, reset=False)))
        values = self._numbers().of(augmented)
        if not isinstance(X, pd.DataFrame):
            return values
        return pd.DataFrame(values, index=X.index, columns=self.get_feature_names_out())

    def augment(self, X: Any) -> Augmented:
        """Fill the features and keep for every value where it comes from.

        Cases go by `id`, else by the table's index where that is unique, else by position.

        Returns
        -------
        Augmented
        """
        check_is_fitted(self, "features_")
        return self._fill(self._roles().cohort(self._table(X, reset=False), by_id=True))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, Any]:
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : ignored
            Checked against the columns seen in `fit`.

        Returns
        -------
        ndarray of str of shape (n_outputs,)
        """
        check_is_fitted(self, "features_")
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._numbers().names(), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_parameters(self) -> None:
        for name, value, allowed in (
            ("output", self.output, _OUTPUTS),
            ("uncertain", self.uncertain, UNCERTAIN),
        ):
            if value not in allowed:
                raise UserError(
                    f"{name} must be one of {list(allowed)}, got {value!r}.{did_you_mean(value, allowed)}"
                )
        read = [self.report] if isinstance(self.report, str) else [*self.report]
        read += [*(self.numeric or {})]
        read += [self.categorical] if isinstance(self.categorical, str) else [*self.categorical]
        both = [target for target in self._target_names() if target in read]
        if both:
            raise CohortError(
                f"Column {both[0]!r} is named as a target and as a column to read; give it one role."
            )
        if not read:
            raise UserError(
                "FeatureAugmenter was told of no column to read; name the text columns, e.g. "
                "report=['findings', 'impression']."
            )

    def _table(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Return the input as a DataFrame with text column names, checked against the one seen in `fit`."""
        if not isinstance(X, pd.DataFrame):
            values = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
            names = getattr(self, "feature_names_in_", None)
            columns = [f"x{n}" for n in range(values.shape[1])] if names is None else list(names)
            return pd.DataFrame(values, columns=columns).infer_objects()
        try:
            validate_data(self, X, reset=reset, skip_check_array=True)
        except ValueError as error:
            if reset:
                raise
            raise CohortError(f"{error}{self._renamed(X)}") from error
        if not len(X):
            raise CohortError("The table is empty: 0 sample(s), but at least one case is needed.")
        if not hasattr(self, "feature_names_in_"):
            return X.set_axis([f"x{n}" for n in range(X.shape[1])], axis=1)
        return X

    def _renamed(self, X: pd.DataFrame) -> str:
        """Say which new column looks like which missing one."""
        seen = [str(name) for name in getattr(self, "feature_names_in_", ())]
        unseen = [str(column) for column in X.columns if column not in seen]
        hints = []
        for column in (name for name in seen if name not in X.columns):
            hint = did_you_mean(column, unseen)
            if hint:
                hints.append(f"Column {column!r} of the table given to fit is missing.{hint}")
        return "\n" + "\n".join(hints) if hints else ""

    def _roles(self) -> TableRoles:
        return TableRoles(
            id=self.id,
            group=self.group,
            report=self.report,
            numeric=self.numeric,
            categorical=self.categorical,
            data_use=self.data_use,
        )

    def _make_engine(self) -> Engine:
        if self.engine is None or isinstance(self.engine, str):
            from dallm.engines.factory import engine

            return engine(self.engine or "extractive")
        return self.engine

    def _discover(self, cohort: Cohort) -> tuple[FeatureSet, Ack | None]:
        given = FeatureSet(self.features if self.features is not None else ())
        if self.conditions is None and self.ack is None and self.features is not None:
            return given, None
        from dallm.augment.discover import discover_features

        ack = self.ack if self.ack is not None else self._ask()
        found = discover_features(ack, cohort=with_targets(cohort, self._target_names()), engine=self.engine_)
        # `restates` names a condition here: what restates a target is left out by discover_features already
        new = [replace(f, restates=None) for f in found if self._target_names() or f.restates is None]
        return given + [feature for feature in new if feature.name not in given.names], ack

    def _ask(self) -> Ack:
        from dallm.ack.build import build_ack
        from dallm.knowledge.primer_store import primer_store
        from dallm.knowledge.stores.open import open_store

        conditions = list(PAPER_CONDITIONS if self.conditions is None else self.conditions)
        if self.store is not None and not isinstance(self.store, (str, Path)):
            return build_ack(self.store, conditions, engine=self.engine_)
        if self.store is not None:
            with closing(open_store(self.store, read_only=True)) as store:
                return build_ack(store, conditions, engine=self.engine_)
        with primer_store(conditions) as store:
            return build_ack(store, conditions, engine=self.engine_)

    def _target_names(self) -> list[str]:
        return [self.targets] if isinstance(self.targets, str) else list(self.targets)

    def _warn_of_targets(self) -> None:
        known = set(map(normalise_name, self._target_names()))
        again = [f.name for f in self.features_ if f.restates is not None or f.key in known]
        if again:
            warnings.warn(
                f"These features restate a target: {', '.join(again)}. Leave them out unless that is what "
                "you study.",
                UserWarning,
                stacklevel=3,
            )

    def _fill(self, cohort: Cohort) -> Augmented:
        from dallm.augment.fill import fill_values

        return fill_values(
            cohort, self.features_, ack=self.ack_, engine=self.engine_, uncertain=self.uncertain
        )

    def _numbers(self) -> NumberColumns:
        measured = tuple(self.numeric or {}) if self.output == "all" else ()
        return NumberColumns(self.features_, self._columns, measured, self.categories_)
