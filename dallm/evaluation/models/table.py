"""A scikit-learn classifier and the preparation of its table, as one estimator."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from dallm.errors import UserError
from dallm.evaluation.models.device import DeviceError, Place, is_full, resolve_device
from dallm.evaluation.models.encoding import TableEncoder
from dallm.evaluation.models.inner import class_codes, group_codes, inner_parts
from dallm.evaluation.models.rows import RowsOf

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

Encode = Literal["trees", "keep", "fill", "scale", "none"]

_ENCODERS: dict[str, dict[str, Any]] = {
    "trees": {"dtype": "float32"},
    "keep": {},
    "fill": {"fill": True},
    "scale": {"fill": True, "scale": True},
}
_CALIBRATION_FOLDS = 5


class TableClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Encode a table of mixed columns by what the training rows say, then fit a classifier to the numbers.

    Parameters
    ----------
    estimator : classifier
        Cloned before it is fitted. One without probabilities is calibrated on inner folds by patient
        (sigmoid).
    encode : {"trees", "keep", "fill", "scale", "none"}, default="trees"
        `trees`: numbers as they are, missing values stay missing, single precision, as scikit-learn's trees
        and XGBoost compute anyway; `keep`: the same in double precision; `fill`: medians and columns that say
        what was missing; `scale`: that, centred and scaled; `none`: the table as given.
    random_state : int, optional
        Set in every part of the estimator that has a `random_state` of None.
    device : str, default="cpu"
        See :func:`~dallm.evaluation.models.device.resolve_device`.

    Attributes
    ----------
    estimator_ : classifier
        Fitted.
    classes_ : array
    device_ : str
    notes_ : tuple of str
    feature_importances_ : array of float, shape (features in,)
        Where the estimator has importances or coefficients: added up per input column.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> table = pd.DataFrame({"age": [40, None, 70, 80], "sex": ["F", "M", "M", None]})
    >>> model = TableClassifier(DecisionTreeClassifier(), random_state=0).fit(table, [0, 0, 1, 1])
    >>> model.predict(pd.DataFrame({"age": [75], "sex": ["unknown"]}))
    array([1])
    """

    reads_rows = True  # takes RowsOf in place of a table

    def __init__(
        self,
        estimator: Any,
        *,
        encode: Encode = "trees",
        random_state: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.estimator = estimator
        self.encode = encode
        self.random_state = random_state
        self.device = device

    def fit(
        self, X: ArrayLike | pd.DataFrame | RowsOf, y: ArrayLike, groups: ArrayLike | None = None
    ) -> TableClassifier:
        """Fit the encoder and the classifier; `groups` go to a classifier that splits inside.

        Raises
        ------
        UserError
            A column cannot be used, or the labels have one class.
        DeviceError
            A GPU asked for by name is missing or full.
        """
        self.classes_, codes = class_codes(y)
        if self.encode != "none":
            self.encoder_ = TableEncoder(**_ENCODERS[self.encode])
            numbers = self._matrix(self.encoder_.fit(X).transform(X))
            if numbers.shape[1] == 0:
                raise UserError("No column tells anything in the training rows; there is nothing to learn.")
        else:
            numbers = X.whole() if isinstance(X, RowsOf) else X
        for name in ("n_features_in_", "feature_names_in_"):
            if self.encode != "none" and hasattr(self.encoder_, name):
                setattr(self, name, getattr(self.encoder_, name))
        place = resolve_device(self.device, gpu_kind(self.estimator))
        self.notes_: tuple[str, ...] = (place.note,) if place.note else ()
        self._fit_on(place, numbers, codes, group_codes(groups, len(codes)))
        return self

    def predict_proba(self, X: ArrayLike | pd.DataFrame | RowsOf) -> NDArray[np.float64]:
        """Return the probability of each class, shape (rows, classes)."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(self._numbers(X)), dtype=np.float64)

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray[Any]:
        """Return the class of each row as the classifier decides."""
        check_is_fitted(self, "estimator_")
        codes = np.asarray(self.estimator_.predict(self._numbers(X))).astype(np.intp).ravel()
        return np.asarray(self.classes_[codes])

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Importances of the input columns; absolute coefficients of a linear classifier."""
        check_is_fitted(self, "estimator_")
        values = getattr(self.estimator_, "feature_importances_", None)
        if values is None and hasattr(self.estimator_, "coef_"):
            values = np.abs(self.estimator_.coef_).mean(axis=0)
        if values is None or self.encode == "none":
            raise AttributeError(f"{type(self.estimator_).__name__} has no importances per input column.")
        return self.encoder_.to_inputs(np.asarray(values, dtype=float))

    def _fit_on(self, place: Place, X: Any, codes: NDArray[np.intp], groups: NDArray[np.intp]) -> None:
        fit = self._ready(place.device)
        try:
            self.estimator_ = _fitted(fit, X, codes, groups, self.random_state)
            self.device_ = place.device
        except Exception as error:
            if place.device == "cpu" or not is_full(error):
                raise
            name = type(self.estimator).__name__
            if self.device != "auto":
                raise DeviceError(
                    f"{name}: the GPU {place.device} has no memory left ({type(error).__name__}). Free it, "
                    "or give device='auto' to go on on the CPU."
                ) from error
            self.notes_ += (f"{name} on the CPU: the GPU {place.device} was full.",)
            self.estimator_ = _fitted(self._ready("cpu"), X, codes, groups, self.random_state)
            self.device_ = "cpu"
        self.device_ = str(getattr(self.estimator_, "device_", self.device_))
        self.notes_ += tuple(getattr(self.estimator_, "notes_", ()))
        if gpu_kind(self.estimator) == "xgboost" and self.device_ != "cpu":
            self.estimator_.set_params(device="cpu")  # tables to predict lie in main memory
            self.estimator_.get_booster().set_param({"device": "cpu"})

    def _ready(self, device: str) -> Any:
        """A clone of the estimator: one thread, seeded, on its device."""
        kind = gpu_kind(self.estimator)
        estimator = clone(self.estimator)
        if kind == "random_forest" and device != "cpu":
            estimator = _cuml_forest(estimator)
        parameters = estimator.get_params()
        changed: dict[str, Any] = {}
        for name, value in parameters.items():
            owner, _, last = name.rpartition("__")
            if last == "random_state" and not isinstance(value, (int, np.integer)):
                changed[name] = self.random_state
            elif last == "n_jobs" and (value is None or isinstance(value, int)):
                # scikit-learn's None is one thread, and some of its classes warn of any number
                home = type(parameters[owner] if owner else estimator).__module__
                changed[name] = None if home.startswith("sklearn.") else 1
        if kind in ("xgboost", "tabpfn"):
            changed["device"] = device
        return estimator.set_params(**changed)

    def _numbers(self, X: ArrayLike | pd.DataFrame | RowsOf) -> Any:
        if self.encode == "none":
            return X.whole() if isinstance(X, RowsOf) else X
        return self._matrix(self.encoder_.transform(X))

    def _matrix(self, numbers: NDArray[np.floating[Any]]) -> Any:
        """A pipeline gets names, which its own steps may choose by; a bare classifier needs none."""
        if not hasattr(self.estimator, "steps"):
            return numbers
        import pandas as pd

        return pd.DataFrame(numbers, columns=self.encoder_.get_feature_names_out())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _fitted(
    estimator: Any, X: Any, codes: NDArray[np.intp], groups: NDArray[np.intp], seed: int | None
) -> Any:
    if not hasattr(estimator, "predict_proba"):
        from sklearn.calibration import CalibratedClassifierCV

        parts = inner_parts(codes, groups, _CALIBRATION_FOLDS, 0 if seed is None else seed)
        if not parts:
            raise UserError(
                f"{type(estimator).__name__} gives no probabilities, and there are too few patients of each "
                "class to calibrate its scores. Give a classifier with predict_proba."
            )
        return CalibratedClassifierCV(estimator, method="sigmoid", cv=parts, n_jobs=1).fit(X, codes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Falling back to prediction using DMatrix")
        if "groups" in inspect.signature(estimator.fit).parameters:
            return estimator.fit(X, codes, groups=groups)
        return estimator.fit(X, codes)


def gpu_kind(estimator: Any) -> str:
    """Which of the models that have a GPU version this is; ``other`` for none."""
    kind = type(estimator)
    for name, prefix in (("XGBClassifier", "xgboost"), ("TabPFNClassifier", "tabpfn")):
        if any(base.__name__ == name and base.__module__.startswith(prefix) for base in kind.__mro__):
            return prefix
    return "random_forest" if f"{kind.__module__}.{kind.__name__}".startswith(_FOREST) else "other"


_FOREST = "sklearn.ensemble._forest.RandomForestClassifier"


def _cuml_forest(forest: Any) -> Any:
    """The same forest for cuML; missing values are filled, which its trees do not take."""
    from cuml.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    given = forest.get_params()
    taken = {k: given[k] for k in ("n_estimators", "max_features", "min_samples_leaf", "bootstrap")}
    depth = given["max_depth"]
    taken["max_depth"] = depth if depth is not None else 32
    taken["n_streams"] = 1  # more than one makes it depend on the order of arrival
    taken["random_state"] = given["random_state"]
    return make_pipeline(SimpleImputer(strategy="median"), RandomForestClassifier(**taken))


def encoding_for(estimator: Any) -> Encode:
    """How the table of an estimator that a user gave is prepared.

    A pipeline that picks columns itself gets the table as it is. All others get numbers, not scaled; with
    missing values only where the estimator says that it takes them or imputes them itself.
    """
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    if any(type(step).__name__ in ("ColumnTransformer", "TableVectorizer") for step in steps):
        return "none"
    for step in steps:
        if step is None or step == "passthrough":
            continue
        if "Imputer" in type(step).__name__:
            return "keep"
        if not get_tags(step).input_tags.allow_nan:
            return "fill"
    return "keep"
