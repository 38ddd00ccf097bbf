"""The plot of Experiment II: three measures, one line per set of sources, one mark per store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dallm.evaluation.figures import blank_figure
from dallm.paper.comparison import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dallm.paper.comparison import RetrievalComparison

# colours that stay apart for colour-blind readers, and shapes for those who print in grey
_MARKS = {
    "neo4j_vector": ("#0072B2", "o"),
    "local": ("#009E73", "s"),
    "neo4j_graph": ("#D55E00", "^"),
    "networkx": ("#CC79A7", "D"),
}


def draw(comparison: RetrievalComparison) -> Figure:
    """Draw completeness, support and relevance side by side."""
    table = comparison.table()
    table = table[table["not_run"] == ""]
    groups = list(dict.fromkeys(zip(table["sources"], table["hits"], strict=True)))
    stores = [name for name in _MARKS if name in set(table["store"])]
    figure = blank_figure(10, 1.9 + 0.62 * len(groups))
    axes = figure.subplots(1, len(MEASURES), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, MEASURES, strict=True):
        for i, store in enumerate(stores):
            of_store = table[table["store"] == store]
            colour, shape = _MARKS[store]
            # stores that agree would hide each other on one line
            shift = 0.16 * (i - (len(stores) - 1) / 2)
            places = [
                groups.index(key) + shift for key in zip(of_store["sources"], of_store["hits"], strict=True)
            ]
            values = of_store[measure].astype("float64")
            axis.scatter(values, places, color=colour, marker=shape, s=44, label=store, zorder=3)
        _frame(axis, measure, len(groups))
    axes[0].set_yticks(range(len(groups)), [f"{sources}\n{_hits(hits)}" for sources, hits in groups])
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    figure.suptitle(
        f"Answers about {comparison.condition}, {len(comparison.questions)} questions", fontsize=12
    )
    return figure


def _frame(axis: Any, measure: str, rows: int) -> None:
    axis.set_title(measure, fontsize=11)
    axis.set_xlim(-0.04, 1.04)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axis.set_ylim(-0.5, rows - 0.5)
    axis.grid(axis="x", color="#dddddd", linewidth=0.8)
    axis.set_axisbelow(True)
    for row in range(rows - 1):
        axis.axhline(row + 0.5, color="#eeeeee", linewidth=0.8)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _hits(hits: str) -> str:
    return {"first": "first hit", "page": "first result page"}.get(hits, hits)
