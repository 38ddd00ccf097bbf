"""Sets of clinical features: the columns to fill, as JSON that can be read and edited by hand."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dallm.errors import FeatureError, did_you_mean
from dallm.feature import FIELDS, TUPLE_FIELDS, bad_field, given_fields, shortened
from dallm.feature import KINDS as KINDS
from dallm.feature import ORIGINS as ORIGINS
from dallm.feature import Feature as Feature
from dallm.feature import Kind as Kind
from dallm.feature import Origin as Origin
from dallm.feature import normalise_name as normalise_name

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 12


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
                    f"A FeatureSet holds Feature objects, got {type(feature).__name__} {shortened(feature)}; "
                    "write e.g. Feature('fever', 'boolean')."
                )
            if feature.key in position:
                raise bad_field(
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

        columns = ["name", "kind", "category", *FIELDS[2:-2], "restates"]
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
        text = json.dumps([given_fields(f) for f in self._features], ensure_ascii=False, indent=2) + "\n"
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
        raise bad_field(str(found.get("name", "(unnamed)")), twice, "stands there twice; keep one.")
    return found


def _from_dict(item: object, number: int) -> Feature:
    if not isinstance(item, dict):
        raise FeatureError(f"Feature number {number} is not an object but {shortened(item)}.")
    name = item.get("name")
    label = name if isinstance(name, str) else f"number {number}"
    for key in item:
        if key not in FIELDS:
            raise bad_field(label, key, f"is not a field of a feature.{did_you_mean(key, FIELDS)}")
    for key in ("name", "kind"):
        if key not in item:
            raise bad_field(label, key, "is missing.")
    for key in TUPLE_FIELDS:
        if key in item and not (isinstance(item[key], list) or (key == "levels" and item[key] is None)):
            raise bad_field(label, key, f"must be a list of texts, got {shortened(item[key])}.")
    return Feature(**item)
