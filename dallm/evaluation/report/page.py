"""The page of a report: one file with tables and plots, that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import pandas as pd

from dallm.case_ids import count
from dallm.evaluation.fits import METRICS
from dallm.evaluation.html_page import folded, page, paragraphs, table
from dallm.evaluation.report.definitions import definitions
from dallm.evaluation.report.page_settings import settings_section
from dallm.evaluation.report.paper_table import BY_CHANCE, RELEVANT_HEAD, TITLES, as_text, number, p_text
from dallm.evaluation.report.saying import head
from dallm.evaluation.scores import MACRO, POOLED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.figure import Figure

    from dallm.evaluation.report.evaluation_report import EvaluationReport

    Rows = list[list[str | tuple[str, str]]]

_TITLED = 4  # targets that the title names
_FEATURES = 30  # that a plot of the page shows; all stand in its table
_WORDS = {MACRO: "mean over targets", POOLED: "all decisions together"}


def to_page(report: EvaluationReport) -> str:
    """Return the report as a page of HTML."""
    sections = [
        _head(report),
        _tables(report),
        _gains(report),
        _controls(report),
        _leaks(report),
        _silent(report),
        _subgroups(report),
        _importances(report),
        _calibration(report),
        _ran(report),
        _definitions(report),
        settings_section(report),
    ]
    return page(_title(report), "".join(sections))


def _title(report: EvaluationReport) -> str:
    named = ", ".join(report.targets[:_TITLED])
    more = f" and {len(report.targets) - _TITLED} more" if len(report.targets) > _TITLED else ""
    return f"Evaluation: {named}{more}"


def short(report: EvaluationReport) -> str:
    """Return the verdict and the table, for a notebook."""
    said = paragraphs([*report.verdict(), f"{head(report)}."])
    return said + _paper_table(report.table()) + paragraphs(report.notes)


def _head(report: EvaluationReport) -> str:
    splits = pd.DataFrame([(s.target, len(s.train), len(s.test)) for s in report.splits])
    patients = "" if report.groups is None else f" of {count(int(report.groups.nunique()), 'patient')}"
    about = (
        f"{report.settings.get('protocol', '')}: {count(len(report.cases), 'case')}{patients}, "
        f"{count(len(report.targets), 'target')} ({', '.join(report.targets)}), {len(splits):,} splits. "
        f"Feature sets: {', '.join(report.sets)}; held against {report.baseline}."
    )
    notes = _listed(report.notes) if report.notes else ""
    said = "".join(f"<li>{html.escape(line)}</li>" for line in report.verdict())
    return f"{paragraphs([about])}<h2>Verdict</h2><ul>{said}</ul>{notes and '<h2>Notes</h2>' + notes}"


def _tables(report: EvaluationReport) -> str:
    target = report.target
    parts = [
        f"<h2>Table: {_escaped(_WORDS.get(target, target))}</h2>",
        paragraphs([f"{head(report)}."]),
        _paper_table(report.table()),
    ]
    others = [name for name in (MACRO, POOLED, *report.targets) if name != target]
    if len(report.targets) == 1:
        others = []
    parts += [folded(f"Table: {_WORDS.get(name, name)}", _paper_table(report.table(name))) for name in others]
    columns = _paper_table(report.table(metrics=METRICS).drop(columns=["p", "relevant", BY_CHANCE]))
    parts.append(folded("All metrics", columns))
    return "".join(parts)


def _paper_table(made: pd.DataFrame) -> str:
    """Return a table of the paper's columns, intervals small below the figures."""
    texts = as_text(made)
    rows: Rows = []
    last = ""
    for (name, model), cells in zip(texts.index, texts.to_numpy(), strict=True):
        row: list[str | tuple[str, str]] = [str(name) if name != last else "", str(model)]
        for cell in cells:
            figure, _, interval = str(cell).partition(" (")
            row.append((figure, interval.rstrip(")")) if " to " in interval else str(cell))
        rows.append(row)
        last = name
    heads = [RELEVANT_HEAD if name == "relevant" else str(name) for name in texts.columns]
    return table(["feature set", "model", *heads], rows)


def _gains(report: EvaluationReport) -> str:
    found = report.comparisons()
    if found.empty:
        return ""
    chosen = found[found["metric"] == report.metric]
    parts = [f"<h2>Differences in {_escaped(TITLES.get(report.metric, report.metric))}</h2>"]
    parts.append(_image(report.plot_gains(), "Differences of feature sets with their intervals"))
    parts.append(folded(f"{len(chosen)} comparisons", _differences(chosen)))
    rest = found[found["metric"] != report.metric]
    parts.append(folded("Differences in the other metrics", _differences(rest)))
    return "".join(parts)


def _differences(found: pd.DataFrame) -> str:
    rows: Rows = [
        [
            f"{row['feature_set']} minus {row['baseline']}",
            str(row["model"]),
            _WORDS.get(row["target"], str(row["target"])),
            TITLES.get(row["metric"], str(row["metric"])),
            _small(row["difference"], row["low"], row["high"], True),
            p_text(row["p"]),
            p_text(row["p_adjusted"]),
            str(row["method"]),
        ]
        for row in found.to_dict("records")
    ]
    heads = ["difference of", "model", "target", "metric", "difference", "p", "p (Holm)", "method"]
    return table(heads, rows)


def _controls(report: EvaluationReport) -> str:
    if not report.controls:
        return ""
    parts = ["<h2>Controls</h2>"]
    said = [
        f"{name}: {'not run, because ' + reason if reason else 'run'}."
        for name, reason in report.controls.items()
    ]
    parts.append(_listed(line.replace("..", ".") for line in said))
    for name in [n for n, reason in report.controls.items() if not reason]:
        if name in report.feature_sets:
            parts.append(folded(f"Held against {name}", _differences(report.comparisons(name))))
    return "".join(parts)


def _leaks(report: EvaluationReport) -> str:
    found = report.leakage()
    head = "<h2>Leakage audit</h2>"
    if found.empty:
        return head + paragraphs(["Nothing was found."])
    return head + _plain_table(found)


def _silent(report: EvaluationReport) -> str:
    found = report.silent_reports()
    if found is None or found.empty:
        return ""
    rows: Rows = [
        [
            str(row["target"]),
            _known(row["feature_set"]),
            _known(row["model"]),
            f"{row['positives']:,} of {row['cases']:,}",
            _small(row["value"], row["low"], row["high"]),
            _small(row["difference"], row["difference_low"], row["difference_high"], True),
            str(row["verdict"]),
        ]
        for row in found.to_dict("records")
    ]
    heads = ["target", "feature set", "model", "positives of cases", "AUC", "gain", "what it says"]
    said = paragraphs(["Cases whose report says nothing of the target, out-of-fold predictions as they are."])
    return f"<h2>Silent reports</h2>{said}{table(heads, rows)}"


def _subgroups(report: EvaluationReport) -> str:
    found = report.subgroups()
    if found is None or found.empty:
        return ""
    chosen = found[(found["metric"] == report.metric) & (found["target"] == report.target)]
    rows: Rows = [
        [
            f"{row['subgroup']}: {row['level']}{' (small)' if row['small'] else ''}",
            str(row["feature_set"]),
            str(row["model"]),
            f"{row['positives']:,} of {row['cases']:,}",
            _small(row["value"], row["low"], row["high"]),
            _small(row["difference"], row["difference_low"], row["difference_high"], True),
        ]
        for row in chosen[chosen["feature_set"] != "none"].to_dict("records")
    ]
    title = TITLES.get(report.metric, report.metric)
    said = f"Gains are over {report.baseline}; intervals are not adjusted for the number of subgroups."
    over_all = report.target in (MACRO, POOLED)
    counted = f"positives of decisions ({len(report.targets)} targets)" if over_all else "positives of cases"
    made = table(["subgroup", "feature set", "model", counted, title, "gain"], rows)
    body = paragraphs([said]) + made
    return f"<h2>Subgroups</h2>{folded(f'{title} in {len(rows)} rows', body, open_=len(rows) <= 40)}"


def _importances(report: EvaluationReport) -> str:
    found = report.importances()
    if found.empty:
        return f"<h2>Importances</h2>{paragraphs([report.importance_note])}"
    parts = ["<h2>Importances</h2>", paragraphs([report.importance_note])]
    name = next((s for s in reversed(report.sets) if (found["feature_set"] == s).any()), "")
    if name:
        drawn = report.plot_importances(feature_set=name, most=_FEATURES)
        parts.append(_image(drawn, f"Importances of the features of {name}"))
    shown = found[found["relevant"] & found["feature_set"].isin(report.sets)]
    rows: Rows = [
        [
            str(row["feature"]),
            str(row["feature_set"]),
            str(row["model"]),
            _WORDS.get(row["target"], str(row["target"])),
            _small(row["drop"], row["low"], row["high"], True),
            number(row["noise"], True),
            "yes" if row["relevant"] else "no",
            "yes" if row["published_rule"] else "no",
        ]
        for row in shown.to_dict("records")
    ]
    heads = ["feature", "feature set", "model", "target", "drop of the AUC", "noise", "relevant", "published"]
    parts.append(folded(f"{len(rows)} rows above the noise", table(heads, rows)))
    return "".join(parts)


def _calibration(report: EvaluationReport) -> str:
    drawn = report.plot_reliability()
    said = "Bins of equal mass, out-of-fold predictions of all repeats; the dotted line is a perfect model."
    return f"<h2>Calibration</h2>{paragraphs([said])}{_image(drawn, 'Reliability curves')}"


def _ran(report: EvaluationReport) -> str:
    ran = report.ran_on()
    if ran.empty:
        return ""
    rows: Rows = [
        [str(row["model"]), str(row["device"]), f"{row['fits']:,}", f"{row['seconds']:,.1f}"]
        for row in ran.to_dict("records")
    ]
    notes = report.fits["note"] if "note" in report.fits else pd.Series(dtype=str)
    seen = notes[notes.fillna("") != ""].value_counts()
    said = [f"{count(int(many), 'fit')}: {note}" for note, many in seen.head(10).items()]
    made = table(["model", "ran on", "fits", "seconds, all fits"], rows)
    return f"<h2>What ran where</h2>{made}{_listed(said) if said else ''}"


def _definitions(report: EvaluationReport) -> str:
    items = "".join(
        f"<dt><b>{_escaped(name)}</b></dt><dd>{_escaped(said)}.</dd>" for name, said in definitions(report)
    )
    return f"<h2>Definitions</h2><dl>{items}</dl>"


def _plain_table(frame: pd.DataFrame) -> str:
    rows: Rows = [[_known(cell) for cell in row] for row in frame.to_numpy(dtype=object).tolist()]
    return table([str(name).replace("_", " ") for name in frame.columns], rows)


def _image(figure: Figure, words: str) -> str:
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(held.getvalue()).decode("ascii")
    alt = html.escape(words, quote=True)
    return f'<p><img alt="{alt}" style="max-width:100%" src="data:image/png;base64,{data}"></p>'


def _listed(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_escaped(line)}</li>' for line in lines)}</ul>"


def _small(value: float, low: float, high: float, sign: bool = False) -> str | tuple[str, str]:
    """Return a cell with the interval small below the figure; empty where there is none."""
    if pd.isna(value):
        return ""
    if pd.isna(low):
        return number(value, sign)
    return number(value, sign), f"{number(low, sign)} to {number(high, sign)}"


def _known(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _escaped(text: str) -> str:
    return html.escape(text)
