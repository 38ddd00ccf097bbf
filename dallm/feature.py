"""One clinical feature: what it is called, how its values are typed, and where the idea came from."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dallm.errors import FeatureError, did_you_mean

Kind = Literal["boolean", "ordinal", "categorical", "numeric"]
KINDS: tuple[Kind, ...] = ("boolean", "ordinal", "categorical", "numeric")
CATEGORIES = (
    "symptom",
    "sign",
    "history",
    "imaging finding",
    "device",
    "laboratory",
    "vital",
    "demographic",
)
"""What a feature may be of, clinically."""
Origin = Literal["discovered", "expert", "cohort", "user"]
ORIGINS: tuple[Origin, ...] = ("discovered", "expert", "cohort", "user")

TUPLE_FIELDS = ("aliases", "conditions", "citations", "levels")


def normalise_name(name: str) -> str:
    """Return the form in which names are compared: one case, one space for a run of ``_``, ``-`` and spaces.

    Examples
    --------
    >>> normalise_name("Pleural_Effusion"), normalise_name(" pleural  effusion")
    ('pleural effusion', 'pleural effusion')
    """
    return re.sub(r"[\s_\-\u2010-\u2015]+", " ", name).strip().casefold()


@dataclass(frozen=True)
class Feature:
    """A clinical feature that becomes one column.

    Parameters
    ----------
    name : str
        Column name in the augmented table.
    kind : {"boolean", "ordinal", "categorical", "numeric"}
        How its values are read and stored.
    aliases : tuple of str, default=()
        Other names under which reports or experts speak of it.
    unit : str, optional
        If numeric, and then needed: the unit of its values; ``"1"`` for a ratio.
    low, high : float, optional
        If numeric: the lowest and highest value to accept, both allowed, in `unit`.
    levels : tuple of str, optional
        If ordinal (mildest first) or categorical, and then needed: at least two distinct names.
    conditions : tuple of str, default=()
        Conditions that it was found or asked for.
    origin : {"discovered", "expert", "cohort", "user"}, default="discovered"
        Who proposed it.
    citations : tuple of str, default=()
        Where the proposal stands: passages of a knowledge source.
    category : str, optional
        Symptom, sign, history, imaging finding, device, laboratory, vital or demographic.
    restates : str, optional
        Name of the target or condition that the feature says again in other words.

    Raises
    ------
    FeatureError
        If a field does not fit; the message names the feature and the field.

    Examples
    --------
    >>> Feature("fever", "boolean", aliases=("febrile",))
    Feature('fever', 'boolean', aliases=('febrile',))
    >>> Feature("fever", "yes/no")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dallm.errors.FeatureError: Feature 'fever', field 'kind': must be one of ['boolean', 'ordinal', ...
    """

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] | None = None
    conditions: tuple[str, ...] = ()
    origin: Origin = "discovered"
    citations: tuple[str, ...] = ()
    category: str | None = field(default=None, kw_only=True)
    restates: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = _checked_text("(unnamed)", "name", self.name)
        object.__setattr__(self, "name", name)
        for key in TUPLE_FIELDS:
            if key != "levels" or self.levels is not None:
                object.__setattr__(self, key, _checked_texts(name, key, getattr(self, key)))
        for key in ("unit", "category", "restates"):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, _checked_text(name, key, getattr(self, key)))
        _check_choice(name, "kind", self.kind, KINDS)
        _check_choice(name, "origin", self.origin, ORIGINS)
        self._check_levels()
        self._check_range()

    @property
    def key(self) -> str:
        """The name as :func:`normalise_name` gives it; no two features of a set share it."""
        return normalise_name(self.name)

    def __repr__(self) -> str:
        given = [f"{k}={v!r}" for k, v in given_fields(self).items() if k not in ("name", "kind")]
        return f"Feature({', '.join([repr(self.name), repr(self.kind), *given])})"

    def _check_levels(self) -> None:
        if self.kind in ("boolean", "numeric"):
            if self.levels is not None:
                raise bad_field(self.name, "levels", f"a {self.kind} feature has no levels; remove them.")
            return
        distinct = {normalise_name(level) for level in self.levels or ()}
        if len(distinct) < 2:
            raise bad_field(
                self.name, "levels", f"a feature of kind {self.kind!r} needs at least two levels."
            )
        if len(distinct) < len(self.levels or ()):
            twice = [
                k for k, n in Counter(normalise_name(level) for level in self.levels or ()).items() if n > 1
            ]
            raise bad_field(self.name, "levels", f"the level {twice[0]!r} stands there twice; keep one.")

    def _check_range(self) -> None:
        if self.kind != "numeric":
            for key in ("unit", "low", "high"):
                if getattr(self, key) is not None:
                    raise bad_field(self.name, key, f"a feature of kind {self.kind!r} has none; remove it.")
            return
        if self.unit is None:
            raise bad_field(
                self.name, "unit", "a numeric feature needs a unit; set e.g. 'mmHg', or '1' for a ratio."
            )
        for key in ("low", "high"):
            value = getattr(self, key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise bad_field(
                    self.name, key, f"must be a finite number, got {shortened(value)}; leave it out for none."
                )
            object.__setattr__(self, key, float(value))
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise bad_field(
                self.name, "low", f"must be below 'high'; got low={self.low:g}, high={self.high:g}."
            )


FIELDS = tuple(f.name for f in dataclasses.fields(Feature))
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Feature) if f.default is not dataclasses.MISSING}


def given_fields(feature: Feature) -> dict[str, Any]:
    """Return the fields that differ from their default, whole numbers without a decimal point."""
    values = {k: getattr(feature, k) for k in FIELDS}
    return {
        k: int(v) if isinstance(v, float) and v.is_integer() else v
        for k, v in values.items()
        if k not in _DEFAULTS or v != _DEFAULTS[k]
    }


def bad_field(feature: str, key: str, what: str) -> FeatureError:
    """Return the error that names a feature and one of its fields."""
    return FeatureError(f"Feature {feature!r}, field {key!r}: {what}")


def shortened(value: object) -> str:
    """Return how a value is written, 40 characters at most."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _checked_text(feature: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise bad_field(feature, key, f"must be a text that is not empty, got {shortened(value)}.")
    if any(ord(c) < 32 or ord(c) == 127 for c in value.strip()):
        raise bad_field(feature, key, f"holds a control character: {shortened(value)}; remove it.")
    return value.strip()


def _checked_texts(feature: str, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):  # iterating a text would make an alias of every letter
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise bad_field(feature, key, f"must be a list of texts, got {shortened(value)}.")
    texts = tuple(_checked_text(feature, key, v) for v in value)
    return texts if key == "levels" else tuple(dict.fromkeys(texts))


def _check_choice(feature: str, key: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise bad_field(
            feature,
            key,
            f"must be one of {list(choices)}, got {shortened(value)}.{did_you_mean(value, choices)}",
        )
