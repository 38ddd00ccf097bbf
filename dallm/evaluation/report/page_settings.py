"""The section of a report's page that says what the result follows from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dallm.evaluation.html_page import folded, paragraphs, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dallm.evaluation.report.evaluation_report import EvaluationReport

_SAID = {
    "protocol": "which cases models were trained on and tested on",
    "splits": "pairs of training and test cases, over targets, repeats and folds",
    "fits": "models that were fitted, one for each split, feature set and model",
    "cases": "rows of the feature sets",
    "patients": "groups whose cases stay on one side of a split",
    "positives": "cases with each target",
    "columns": "features of each set, before any is dropped",
    "baseline": "the feature set that the others are held against",
    "controls": "feature sets that new columns have to beat, as asked for",
    "subgroups": "columns by which figures were taken apart",
    "operating_point": "what the threshold of decisions was chosen by, inside the training fold, or the "
    "threshold itself",
    "device": "where models were asked to compute",
    "on_leak": "what was to happen where a feature restates a target",
    "allow_leaks": "what was used though it may give a target away",
    "aliases": "further names of targets that the leakage audit knew",
    "importances": "how permutation importances were measured",
    "bootstrap_draws": "how often patients were drawn for intervals",
    "seed": "splits, models, draws and noise follow from it",
}
_NESTED = ("models", "versions", "data_sha256")


def settings_section(report: EvaluationReport) -> str:
    """Return the settings as tables, with what each means."""
    settings = report.settings
    rows = [
        [_named(name), _value(value), _SAID.get(name, "")]
        for name, value in settings.items()
        if name not in _NESTED
    ]
    rows += [
        [_named(name), str(value), "the result does not depend on it"] for name, value in report.run.items()
    ]
    parts = [
        "<h2>Settings</h2>",
        paragraphs(
            ["What the result follows from; settings of the run and versions are in report.json, too."]
        ),
        table(["setting", "value", "what it is"], rows),
    ]
    for name, about in (settings.get("models") or {}).items():
        parts.append(folded(f"Model {name}", _model(about)))
    if settings.get("versions"):
        parts.append(folded("Versions of packages", _pairs("package", "version", settings["versions"])))
    if settings.get("data_sha256"):
        said = paragraphs(["Equal digests mean equal tables: names, types and values, row by row."])
        parts.append(
            folded("Digests of the data", said + _pairs("table", "SHA-256", settings["data_sha256"]))
        )
    return "".join(parts)


def _model(about: Mapping[str, Any]) -> str:
    notes = paragraphs([f"Asked to compute on {about.get('device', 'cpu')}.", *about.get("notes", ())])
    parameters = about.get("parameters")
    if not parameters:
        return notes
    said = paragraphs(["Parameters that are not listed are the library's own."])
    return notes + said + _pairs("parameter", "value", parameters)


def _pairs(first: str, second: str, found: Mapping[str, Any]) -> str:
    return table([first, second], [[str(name), _value(value)] for name, value in found.items()], text=True)


def _named(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return "; ".join(f"{_named(str(name))}: {_value(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return str(value)
