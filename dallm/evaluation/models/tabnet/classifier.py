"""TabNet as a scikit-learn classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from dallm.errors import UserError
from dallm.evaluation.models.encoding import TableEncoder, as_table
from dallm.evaluation.models.inner import class_codes, group_codes, inner_parts
from dallm.evaluation.models.tabnet.together import fit_together, one_thread

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from dallm.evaluation.models.tabnet.training import Job

_ROWS_AT_ONCE = 8192
_CELLS_AT_ONCE = 2**22


class TabNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """TabNet (Arik and Pfister, 2021) with the network of pytorch-tabnet and a training loop of our own.

    Takes tables of any columns that :class:`~dallm.evaluation.models.encoding.TableEncoder` takes, missing
    values included. Every row that is not held out for stopping takes part in every epoch.

    Parameters
    ----------
    n_d, n_a : int, default=8
        Width of the decision and of the attention part.
    n_steps : int, default=3
    gamma : float, default=1.3
        How freely later steps may look at features that earlier ones used.
    n_independent, n_shared : int, default=2
        Gated layers of each step, and common to all steps.
    momentum : float, default=0.02
        Of batch normalisation.
    lambda_sparse : float, default=1e-3
        Weight of the sparsity of the attention in the loss.
    learning_rate : float, default=0.02
    clip_value : float, default=1.0
        Bound on the norm of the gradient; 0 for none.
    max_epochs : int, default=100
    patience : int, default=10
        Stop after so many epochs without a better score of the held-out rows; 0 trains all epochs and keeps
        the best of them.
    batch_size, virtual_batch_size : int, default=1024 and 128
        At least 2. A remainder of one row joins the batch before it.
    validation_fraction : float, default=0.2
        About this share of the groups is held out for stopping; with 0, or where the rows are too few for it,
        the last weights are kept.
    random_state : int, RandomState or None
    device : str, default="auto"
        See :func:`~dallm.evaluation.models.device.resolve_device`.

    Attributes
    ----------
    classes_ : array
    device_ : str
        Where it was trained. Predictions are computed on the CPU.
    notes_ : tuple of str
    feature_importances_ : array of float, shape (features in,)
        Share of the attention that each column gets over the training rows; sums to 1.
    operating_cases_ : tuple of arrays or None
        Of two classes: positions of the rows held out for stopping, and their probability of the second.
    best_epoch_ : int
        From 0.
    history_ : list of dict
        Per epoch `loss`, `score` and `rows`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> model = TabNetClassifier(max_epochs=3, random_state=0, device="cpu").fit(X, y)
    >>> model.predict_proba(X).shape, len(model.history_)
    ((569, 2), 3)
    """

    def __init__(
        self,
        *,
        n_d: int = 8,
        n_a: int = 8,
        n_steps: int = 3,
        gamma: float = 1.3,
        n_independent: int = 2,
        n_shared: int = 2,
        momentum: float = 0.02,
        lambda_sparse: float = 1e-3,
        learning_rate: float = 0.02,
        clip_value: float = 1.0,
        max_epochs: int = 100,
        patience: int = 10,
        batch_size: int = 1024,
        virtual_batch_size: int = 128,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: str = "auto",
    ) -> None:
        self.n_d = n_d
        self.n_a = n_a
        self.n_steps = n_steps
        self.gamma = gamma
        self.n_independent = n_independent
        self.n_shared = n_shared
        self.momentum = momentum
        self.lambda_sparse = lambda_sparse
        self.learning_rate = learning_rate
        self.clip_value = clip_value
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.virtual_batch_size = virtual_batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike, groups: ArrayLike | None = None
    ) -> TabNetClassifier:
        """Train; `groups` (patients) stay together when rows are held out for stopping.

        Raises
        ------
        UserError
            A setting, a label or a column cannot be used.
        DeviceError
            A GPU asked for by name is missing or full.
        """
        fit_together([self], [(X, y, groups)])
        return self

    def predict_proba(self, X: ArrayLike | pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of each class, shape (rows, classes)."""
        check_is_fitted(self, "network_")
        return self._probabilities(self._encoded(X))

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray[Any]:
        """Return the most probable class of each row."""
        check_is_fitted(self, "network_")
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _encoded(self, X: ArrayLike | pd.DataFrame) -> NDArray[np.float32]:
        return self.encoder_.transform(as_table(self, X, reset=False))

    def _probabilities(self, encoded: NDArray[np.float32]) -> NDArray[np.float64]:
        logits = self._pass(encoded)[0]
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def _pass(self, encoded: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits per row, and attention per encoded column added up over the rows."""
        import torch

        from dallm.evaluation.models.tabnet.network import Stack

        stack = Stack([self.network_], torch.device("cpu")).double()
        step = max(64, min(_ROWS_AT_ONCE, _CELLS_AT_ONCE // encoded.shape[1]))
        logits = np.empty((len(encoded), len(self.classes_)))
        attention = np.zeros(encoded.shape[1])
        with one_thread(), torch.no_grad():
            for start in range(0, len(encoded), step):
                rows = slice(start, start + step)
                x = torch.from_numpy(np.ascontiguousarray(encoded[rows].T, dtype=np.float64)).unsqueeze(0)
                found, _, relevance = stack.forward(x, stack.weights)
                logits[rows] = found[0].T.numpy()
                attention += relevance[0].sum(dim=1).numpy()
        return logits, attention

    def _prepare(self, X: ArrayLike | pd.DataFrame, y: ArrayLike, groups: ArrayLike | None) -> Job:
        from sklearn.utils.validation import check_consistent_length

        from dallm.evaluation.models.tabnet.training import Job

        self._check()
        frame = as_table(self, X, reset=True)
        if y is None:
            raise UserError("This classifier requires y to be passed, but the target y is None.")
        self.classes_, codes = class_codes(y)
        self.encoder_ = TableEncoder(fill=True, scale=True, dtype="float32").fit(frame)
        check_consistent_length(frame, codes)
        encoded = self.encoder_.transform(frame)
        if encoded.shape[1] == 0:
            raise UserError(
                "No column has two different values in the training rows; there is nothing to learn."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        order = np.random.default_rng(seed)
        kept, held = self._hold_out(codes, group_codes(groups, len(codes)), seed)
        self._encoded_rows, self._held = encoded, held
        network = self._network(encoded.shape[1], seed)
        job = Job(encoded[kept], codes[kept], None, None, network, order)
        if len(held):
            job.x_valid, job.y_valid = encoded[held], codes[held]
        return job

    def _check(self) -> None:
        for name in ("batch_size", "virtual_batch_size"):
            if getattr(self, name) < 2:
                raise UserError(f"{name}={getattr(self, name)!r}: batch normalisation needs 2 rows or more.")
        for name in ("max_epochs", "n_steps", "n_d", "n_a"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)!r} must be 1 or more.")
        if not 0 <= self.validation_fraction < 1:
            raise UserError(f"validation_fraction={self.validation_fraction!r} must be 0 or more, below 1.")
        if self.n_independent + self.n_shared < 1:
            raise UserError("n_independent and n_shared are both 0; a step needs a layer.")

    def _hold_out(
        self, y: NDArray[np.intp], groups: NDArray[np.intp], seed: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        everyone, nobody = np.arange(len(y)), np.arange(0)
        self.notes_: tuple[str, ...] = ()
        if self.validation_fraction == 0:
            return everyone, nobody
        parts = inner_parts(y, groups, max(2, round(1 / self.validation_fraction)), seed)
        if not parts:
            self.notes_ = ("TabNet trained all its epochs: too few patients to hold some out for stopping.",)
            return everyone, nobody
        return parts[0]

    def _network(self, inputs: int, seed: int) -> Any:
        import torch
        from pytorch_tabnet.tab_network import TabNet

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TabNet(
                inputs,
                len(self.classes_),
                n_d=self.n_d,
                n_a=self.n_a,
                n_steps=self.n_steps,
                gamma=self.gamma,
                n_independent=self.n_independent,
                n_shared=self.n_shared,
                virtual_batch_size=self.virtual_batch_size,
                momentum=self.momentum,
                group_attention_matrix=torch.eye(inputs),
            )

    def _take(self, job: Job, place: str, note: str) -> None:
        """Keep what training gave."""
        self.network_, self.device_ = job.network, place
        self.history_, self.best_epoch_ = job.history, job.best_epoch
        encoded, held = self.__dict__.pop("_encoded_rows"), self.__dict__.pop("_held")
        attention = self._pass(encoded)[1]
        total = attention.sum()
        inputs = self.encoder_.to_inputs(attention)
        self.feature_importances_ = inputs / total if total > 0 else np.full(len(inputs), 1 / len(inputs))
        self.notes_ += (note,) if note else ()
        self.operating_cases_ = None
        if len(held) and len(self.classes_) == 2:
            self.operating_cases_ = (held, self._probabilities(encoded[held])[:, 1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
