"""Clinical features: what a new column means, how its values are typed, and where the idea came from."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from dallm.errors import FeatureError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["boolean", "ordinal", "categorical", "numeric"]
KINDS: tuple[Kind, ...] = ("boolean", "ordinal", "categorical", "numeric")
Origin = Literal["discovered", "expert", "cohort", "user"]
ORIGINS: tuple[Origin, ...] = ("discovered", "expert", "cohort", "user")

_TUPLES = ("aliases", "conditions", "citations", "levels")
_SHOWN = 12


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
        for key in _TUPLES:
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
        given = [f"{k}={v!r}" for k, v in _given(self).items() if k not in ("name", "kind")]
        return f"Feature({', '.join([repr(self.name), repr(self.kind), *given])})"

    def _check_levels(self) -> None:
        if self.kind in ("boolean", "numeric"):
            if self.levels is not None:
                raise _bad(self.name, "levels", f"a {self.kind} feature has no levels; remove them.")
            return
        distinct = {normalise_name(level) for level in self.levels or ()}
        if len(distinct) < 2:
            raise _bad(self.name, "levels", f"a feature of kind {self.kind!r} needs at least two levels.")
        if len(distinct) < len(self.levels or ()):
            twice = [
                k for k, n in Counter(normalise_name(level) for level in self.levels or ()).items() if n > 1
            ]
            raise _bad(self.name, "levels", f"the level {twice[0]!r} stands there twice; keep one.")

    def _check_range(self) -> None:
        if self.kind != "numeric":
            for key in ("unit", "low", "high"):
                if getattr(self, key) is not None:
                    raise _bad(self.name, key, f"a feature of kind {self.kind!r} has none; remove it.")
            return
        if self.unit is None:
            raise _bad(
                self.name, "unit", "a numeric feature needs a unit; set e.g. 'mmHg', or '1' for a ratio."
            )
        for key in ("low", "high"):
            value = getattr(self, key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise _bad(
                    self.name, key, f"must be a finite number, got {_short(value)}; leave it out for none."
                )
            object.__setattr__(self, key, float(value))
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise _bad(self.name, "low", f"must be below 'high'; got low={self.low:g}, high={self.high:g}.")


class FeatureSet(Sequence[Feature]):
    """Features in order, no two with the same name (see :func:`normalise_name`).

    Parameters
    ----------
    features : iterable of Feature, default=()
        Kept in the order given.

    Raises
    ------
    FeatureError
        If an item is not a feature, or a name comes twice.

    Examples
    --------
    >>> features = FeatureSet([Feature("fever", "boolean"), Feature("age", "numeric", unit="years")])
    >>> features.names
    ('fever', 'age')
    >>> features["Fever"].kind
    'boolean'
    >>> FeatureSet.from_json(features.to_json()) == features
    True
    """

    def __init__(self, features: Iterable[Feature] = ()) -> None:
        self._features: list[Feature] = []
        self._position: dict[str, int] = {}
        if isinstance(features, (str, bytes, Mapping, Feature)):
            raise FeatureError(
                f"FeatureSet takes a list of Feature objects, got one {type(features).__name__}; "
                "write FeatureSet([Feature('fever', 'boolean')])."
            )
        self.add(*features)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(f.name for f in self._features)

    def add(self, *features: Feature) -> FeatureSet:
        """Append features to this set, all or none, and return the set itself.

        Raises
        ------
        FeatureError
            If an item is not a feature, or its name is already taken.
        """
        position = dict(self._position)
        for feature in features:
            if not isinstance(feature, Feature):
                raise FeatureError(
                    f"A FeatureSet holds Feature objects, got {type(feature).__name__} {_short(feature)}; "
                    "write e.g. Feature('fever', 'boolean')."
                )
            if feature.key in position:
                raise _bad(
                    feature.name, "name", "stands in the set already; rename one, or use without() first."
                )
            position[feature.key] = len(position)
        self._features.extend(features)
        self._position = position
        return self

    def without(self, *names: str) -> FeatureSet:
        """Return a new set that lacks the features of these names.

        Raises
        ------
        FeatureError
            If a name is not in the set.
        """
        gone = {self[name].key for name in names}
        return FeatureSet(f for f in self._features if f.key not in gone)

    @overload
    def __getitem__(self, key: int | str) -> Feature: ...
    @overload
    def __getitem__(self, key: slice) -> FeatureSet: ...
    def __getitem__(self, key: int | str | slice) -> Feature | FeatureSet:
        if isinstance(key, str):
            if normalise_name(key) not in self._position:
                raise FeatureError(f"No feature {key!r} in this set.{did_you_mean(key, self.names)}")
            return self._features[self._position[normalise_name(key)]]
        if isinstance(key, slice):
            return FeatureSet(self._features[key])
        return self._features[key]

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return normalise_name(item) in self._position
        return item in self._features

    def __len__(self) -> int:
        return len(self._features)

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features)

    def __add__(self, other: Iterable[Feature]) -> FeatureSet:
        return FeatureSet([*self._features, *other])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureSet) and self._features == other._features

    __hash__ = None  # type: ignore[assignment]  # a set can be added to

    def __repr__(self) -> str:
        kinds = Counter(f.kind for f in self._features)
        head = f"FeatureSet of {len(self)} features"
        if kinds:
            head += ": " + ", ".join(f"{kinds[k]} {k}" for k in KINDS if kinds[k])
        lines = [f"  {_line(f)}" for f in self._features[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f"  ... and {len(self) - _SHOWN} more")
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        head = html.escape(repr(self).partition("\n")[0])
        return f"<p>{head}</p>{self.to_frame().head(_SHOWN)._repr_html_()}"  # type: ignore[operator]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per feature: name, kind, category, unit, low, high, levels, aliases, conditions, ...

        Tuples are joined with ``"; "``; fields that do not apply are ``<NA>``.
        """
        import pandas as pd

        columns = ["name", "kind", "category", *_FIELDS[2:-2], "restates"]
        rows = [
            [("; ".join(v) if isinstance(v, tuple) else v) for v in (getattr(f, c) for c in columns)]
            for f in self._features
        ]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.astype({c: "Float64" if c in ("low", "high") else "string" for c in columns})

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the set as JSON text to read and edit by hand, and write it to `path` if given.

        Fields that have their default value are left out.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        text = json.dumps([_given(f) for f in self._features], ensure_ascii=False, indent=2) + "\n"
        if path is not None:
            from dallm.files import write_text

            write_text(Path(path), text)
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> FeatureSet:
        """Read a set from a JSON file, or from JSON text.

        Parameters
        ----------
        source : str or Path
            A file's path, or text that begins with ``[`` or ``{``.

        Raises
        ------
        FeatureError
            If the file is not there, is not JSON, or a feature does not fit; the message names the feature
            and the field.
        """
        text, where = _json_text(source)
        try:
            data = json.loads(text, object_pairs_hook=_no_repeated_key)
        except json.JSONDecodeError as error:
            raise FeatureError(
                f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
            ) from None
        if isinstance(data, dict) and set(data) == {"features"}:
            data = data["features"]
        if not isinstance(data, list):
            raise FeatureError(
                f"{where} holds no list of features; write [{{'name': ..., 'kind': ...}}, ...]."
            )
        return cls(_from_dict(item, n) for n, item in enumerate(data, start=1))


_FIELDS = tuple(f.name for f in dataclasses.fields(Feature))
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Feature) if f.default is not dataclasses.MISSING}


def as_feature_set(features: FeatureSet | Iterable[Feature]) -> FeatureSet:
    """Return a feature set of its own, whether `features` is one or a list of features."""
    return FeatureSet(features)


def _given(feature: Feature) -> dict[str, Any]:
    values = {k: getattr(feature, k) for k in _FIELDS}
    return {
        k: int(v) if isinstance(v, float) and v.is_integer() else v
        for k, v in values.items()
        if k not in _DEFAULTS or v != _DEFAULTS[k]
    }


def _line(feature: Feature) -> str:
    detail = " | ".join(feature.levels) if feature.levels else feature.unit
    return f"{feature.name} ({feature.kind}{': ' + detail if detail else ''})"


def _json_text(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n")[:1] in ("[", "{"):
        return source.lstrip("\ufeff"), "The text"
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8-sig"), f"The file {str(path)!r}"
    except UnicodeDecodeError as error:
        raise FeatureError(f"The file {str(path)!r} is not UTF-8 ({error}); save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FeatureError(f"The feature file {str(path)[:200]!r} cannot be read: {reason}.") from error


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise _bad(str(found.get("name", "(unnamed)")), twice, "stands there twice; keep one.")
    return found


def _from_dict(item: object, number: int) -> Feature:
    if not isinstance(item, dict):
        raise FeatureError(f"Feature number {number} is not an object but {_short(item)}.")
    name = item.get("name")
    label = name if isinstance(name, str) else f"number {number}"
    for key in item:
        if key not in _FIELDS:
            raise _bad(label, key, f"is not a field of a feature.{did_you_mean(key, _FIELDS)}")
    for key in ("name", "kind"):
        if key not in item:
            raise _bad(label, key, "is missing.")
    for key in _TUPLES:
        if key in item and not (isinstance(item[key], list) or (key == "levels" and item[key] is None)):
            raise _bad(label, key, f"must be a list of texts, got {_short(item[key])}.")
    return Feature(**item)


def _bad(feature: str, key: str, what: str) -> FeatureError:
    return FeatureError(f"Feature {feature!r}, field {key!r}: {what}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _checked_text(feature: str, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(feature, key, f"must be a text that is not empty, got {_short(value)}.")
    if any(ord(c) < 32 or ord(c) == 127 for c in value.strip()):
        raise _bad(feature, key, f"holds a control character: {_short(value)}; remove it.")
    return value.strip()


def _checked_texts(feature: str, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):  # iterating a text would make an alias of every letter
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise _bad(feature, key, f"must be a list of texts, got {_short(value)}.")
    texts = tuple(_checked_text(feature, key, v) for v in value)
    return texts if key == "levels" else tuple(dict.fromkeys(texts))


def _check_choice(feature: str, key: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise _bad(
            feature,
            key,
            f"must be one of {list(choices)}, got {_short(value)}.{did_you_mean(value, choices)}",
        )
