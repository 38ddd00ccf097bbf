"""Columns as Parquet files: what Parquet does not keep of them is noted beside, so that they come back equal.

Pandas tells apart what Parquet does not: whole numbers beside missing values in a column of objects, ``None``
beside ``NaN``, tuples beside lists, categories of any type. Such columns are written as tagged JSON.
"""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from dallm.errors import OutputError

_TAG = "?"
_MISSING: dict[str, Any] = {"none": None, "nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}
# of these Parquet gives back equal values of the same type
_KEPT = ("string", "boolean", "bytes", "date", "time", "empty")
_MIXED = ("mixed", "mixed-integer", "mixed-integer-float", "complex")
_KEPT_CATEGORIES = ("string", "integer", "floating", "boolean", "empty")


def noted(values: pd.Series[Any]) -> tuple[dict[str, Any], pd.Series[Any] | None]:
    """Return what must be known to restore a column, and what to write if that is not the column itself.

    Raises
    ------
    OutputError
        If the column holds objects that cannot be written.
    """
    dtype = values.dtype
    note: dict[str, Any] = {"dtype": str(dtype)}
    if isinstance(dtype, pd.CategoricalDtype):
        return _noted_categories(note, values)
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        schema = pa.schema([("column", dtype.pyarrow_dtype)])
        note["arrow"] = base64.b64encode(schema.serialize().to_pybytes()).decode("ascii")
        if not pa.types.is_nested(dtype.pyarrow_dtype):
            return note, None
        return {**note, "coded": True}, _coded(values, pa.array(values.array).to_pylist())
    if isinstance(dtype, pd.SparseDtype):
        return note, pd.Series(np.asarray(values), index=values.index, name=values.name)
    if pd.api.types.is_complex_dtype(dtype):
        return {**note, "coded": True}, _coded(values, values.tolist())
    if isinstance(dtype, pd.StringDtype):
        return {**note, "storage": dtype.storage, "nan": dtype.na_value is not pd.NA}, None
    if not pd.api.types.is_object_dtype(dtype):
        return note, None
    missing = values.isna()
    marks = {_mark(v) for v in values[missing]}
    if len(marks) < 2 and pd.api.types.infer_dtype(values[~missing], skipna=False) in _KEPT:
        return {**note, "missing": next(iter(marks), "none")}, None
    return {**note, "coded": True}, _coded(values, values.tolist())


def restored(values: pd.Series[Any], note: dict[str, Any]) -> pd.Series[Any]:
    """Return the column that was written, from what was read and its note."""
    if note.get("coded"):
        values = _objects([_decoded(json.loads(text)) for text in values], values)
    if "arrow" in note:
        import pyarrow as pa

        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(note["arrow"])))
        return values.astype(pd.ArrowDtype(schema.field("column").type))
    if "categories" in note:
        categories = pd.Index([_decoded(c) for c in note["categories"]], dtype=note["categories_dtype"])
        dtype = pd.CategoricalDtype(categories, ordered=note["ordered"])
        if note.get("codes"):
            return pd.Series(pd.Categorical.from_codes(values.to_numpy(), dtype=dtype), index=values.index)
        return values.astype(dtype)
    if "storage" in note:
        if not note["nan"]:
            return values.astype(pd.StringDtype(note["storage"]))
        if not isinstance(pd.Series(["text"]).dtype, pd.StringDtype):  # before pandas 3 text was objects
            note = {"dtype": "object", "missing": "nan"}
        else:
            return values.astype(pd.StringDtype(note["storage"], na_value=np.nan))
    if note["dtype"] == "object" and "missing" in note:
        items = values.astype(object).to_numpy(copy=True)
        items[pd.isna(values).to_numpy()] = _MISSING[note["missing"]]
        return pd.Series(items, index=values.index, dtype=object)
    return values if str(values.dtype) == note["dtype"] else values.astype(note["dtype"])


def readable(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as other programs can read it: of mixed types, as text."""
    if isinstance(values.dtype, pd.SparseDtype):
        return pd.Series(np.asarray(values), index=values.index, name=values.name)
    if isinstance(values.dtype, pd.ArrowDtype):
        import pyarrow as pa

        if not pa.types.is_nested(values.dtype.pyarrow_dtype):
            return values
        # pandas writes a nested Arrow type and cannot read it again
        values = _objects(pa.array(values.array).to_pylist(), values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        mixed = values.cat.categories.inferred_type in _MIXED
        return readable(values.astype(object)) if mixed else values
    if not pd.api.types.is_object_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return values
    missing = values.isna()
    present = values[~missing]
    kind = pd.api.types.infer_dtype(present, skipna=False)
    large = kind == "integer" and any(not -(2**63) <= v < 2**63 for v in present)
    if not large and kind not in _MIXED:
        return values
    if any(all(isinstance(v, t) for v in present) for t in (list, np.ndarray)):
        return values
    text = values.astype(object)
    text[missing] = None
    text[~missing] = [_text(v) for v in present]
    return text


def _noted_categories(
    note: dict[str, Any], values: pd.Series[Any]
) -> tuple[dict[str, Any], pd.Series[Any] | None]:
    categories = values.cat.categories
    about = {"categories_dtype": str(categories.dtype), "ordered": bool(values.cat.ordered)}
    if categories.inferred_type in _KEPT_CATEGORIES:
        return {**note, **about, "categories": categories.tolist()}, None
    if not pd.api.types.is_object_dtype(categories.dtype):
        return note, None  # dates and the like: Parquet keeps them
    coded = [_encoded(c, str(values.name)) for c in categories]
    return {**note, **about, "categories": coded, "codes": True}, values.cat.codes


def _coded(values: pd.Series[Any], items: list[Any]) -> pd.Series[Any]:
    name = str(values.name)
    coded = [json.dumps(_encoded(v, name), ensure_ascii=False) for v in items]
    return pd.Series(coded, index=values.index, name=values.name, dtype=object)


def _mark(missing: object) -> str:
    if missing is None:
        return "none"
    return "NA" if missing is pd.NA else "NaT" if missing is pd.NaT else "nan"


def _text(value: object) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return json.dumps(plain) if isinstance(plain, (str, int, float, bool)) else str(plain)


def _objects(items: list[Any], like: pd.Series[Any]) -> pd.Series[Any]:
    held = np.empty(len(items), dtype=object)
    held[:] = items
    return pd.Series(held, index=like.index, name=like.name, dtype=object)


def _encoded(value: Any, column: str) -> Any:
    """Return a value as JSON can hold it; what JSON has no type for becomes a tagged object."""
    if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return {_TAG: _mark(value)}
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, list):
        return [_encoded(v, column) for v in value]
    if isinstance(value, dict):
        pairs = [[_encoded(k, column), _encoded(v, column)] for k, v in value.items()]
        return {_TAG: "dict", "v": pairs}
    for kind, name in ((tuple, "tuple"), (set, "set"), (frozenset, "frozenset"), (np.ndarray, "array")):
        if isinstance(value, kind):
            extra = {"dtype": str(value.dtype)} if isinstance(value, np.ndarray) else {}
            return {_TAG: name, "v": [_encoded(v, column) for v in value], **extra}
    found = _encoded_scalar(value)
    if found is None:
        raise OutputError(
            f"Column {column!r} holds values of type {type(value).__name__}, which dallm cannot write to a "
            f"file; make them text (frame[{column!r}].astype(str)) or drop the column."
        )
    return found


def _encoded_scalar(value: Any) -> dict[str, Any] | None:
    if isinstance(value, (np.datetime64, pd.Timestamp)):
        stamp = pd.Timestamp(value)
        if stamp.tz is None:
            return {_TAG: "Timestamp", "v": stamp.isoformat()}
        return {_TAG: "Timestamp", "v": stamp.tz_convert("UTC").isoformat(), "tz": str(stamp.tz)}
    if isinstance(value, (np.timedelta64, pd.Timedelta)):
        return {_TAG: "Timedelta", "v": pd.Timedelta(value).isoformat()}
    if isinstance(value, timedelta):
        return {_TAG: "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    for kind, name in ((datetime, "datetime"), (date, "date"), (time, "time")):
        if isinstance(value, kind):
            return {_TAG: name, "v": value.isoformat()}
    if isinstance(value, Decimal):
        return {_TAG: "Decimal", "v": str(value)}
    if isinstance(value, bytes):
        return {_TAG: "bytes", "v": base64.b64encode(value).decode("ascii")}
    if isinstance(value, complex):
        return {_TAG: "complex", "v": [value.real, value.imag]}
    return None


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if not isinstance(value, dict):
        return value
    tag: str = value[_TAG]
    held: Any = value.get("v")
    if tag in _MISSING:
        return _MISSING[tag]
    if tag == "dict":
        return {_decoded(k): _decoded(v) for k, v in held}
    if tag == "array":
        return np.array([_decoded(v) for v in held], dtype=value["dtype"])
    if tag in ("tuple", "set", "frozenset"):
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[tag](_decoded(v) for v in held)
    if tag == "Timestamp":
        stamp = pd.Timestamp(held)
        return stamp.tz_convert(value["tz"]) if "tz" in value else stamp
    if tag == "timedelta":
        return timedelta(*held)
    if tag == "complex":
        return complex(*held)
    if tag == "bytes":
        return base64.b64decode(held)
    makers: dict[str, Any] = {
        "Timedelta": pd.Timedelta,
        "Decimal": Decimal,
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "time": time.fromisoformat,
    }
    return makers[tag](held)
