"""``dallm evaluate-retrieval``: how well a store finds the document that answers a question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dallm.cli.screen import say, step, table, wants_progress
from dallm.errors import UserError

if TYPE_CHECKING:
    from dallm.evaluation.retrieval_report import RetrievalReport
_Documents = Annotated[
    Path,
    typer.Option("--documents", help="Folder of md, txt, html or pdf files.", metavar="FOLDER"),
]
_Questions = Annotated[
    Path,
    typer.Option("--questions", help="CSV with the columns question_id, question, document.", metavar="FILE"),
]
_Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Put the documents into this store and keep it: a folder or an address.",
        metavar="FOLDER|ADDRESS",
    ),
]
_Namespace = Annotated[
    str | None, typer.Option("--namespace", help="Namespace in a server's database.", metavar="NAME")
]
_Arms = Annotated[
    str,
    typer.Option("--arms", help="Which arms, with commas between.", metavar="ARMS"),
]
_K = Annotated[
    str, typer.Option("--k", help="Where recall is measured, with commas between.", metavar="NUMBERS")
]
_Resamples = Annotated[
    int, typer.Option("--resamples", min=1, help="How many times the questions are resampled.")
]
_Lexical = Annotated[bool, typer.Option("--lexical", help="Without an encoder: the arms that need none.")]
_Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the table, the ranks and a page there.", metavar="FOLDER"),
]


def evaluate_retrieval(
    documents: _Documents,
    questions: _Questions,
    store: _Store = None,
    namespace: _Namespace = None,
    arms: _Arms = "lexical,dense,fused,graph",
    k: _K = "1,4,10",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resampling.")] = 0,
    resamples: _Resamples = 2000,
    lexical: _Lexical = False,
    out: _Out = None,
) -> None:
    """Measure how well documents are found by questions: recall@k, nDCG@10 and MRR@10 of each arm.

    Hits are collapsed to distinct documents first. Questions are never put into the store.
    """
    import dallm.evaluation.retrieval as evaluation

    cutoffs = _numbers(k)
    step(f"Measuring the questions of {str(questions)!r} on the documents of {str(documents)!r}")
    encoder = None if lexical else "auto"
    options: dict[str, Any] = {"encoder": encoder, "seed": seed, "n_boot": resamples}
    wanted = _names(arms)
    if store is None and namespace is not None:
        raise UserError("--namespace belongs to a server's database; name it with --store.")
    if namespace is not None:
        from contextlib import closing

        from dallm.knowledge.stores.open import open_store

        with closing(open_store(store or "", namespace=namespace, encoder=encoder)) as opened:
            options["store"] = opened
            report = evaluation.evaluate_retrieval(
                documents, questions, wanted, cutoffs, progress=wants_progress(), **options
            )
    else:
        report = evaluation.evaluate_retrieval(
            documents, questions, wanted, cutoffs, store=store, progress=wants_progress(), **options
        )
    _show(report)
    if out is not None:
        for path in report.save(out):
            say(f"  {path}")


def _show(report: RetrievalReport) -> None:
    say(f"{report.n_questions:,} questions; {report.label}")
    say()
    found = report.table()
    rows = [
        [
            str(arm),
            *(
                cell
                for name in report.measures
                for cell in (
                    f"{row[name]:.3f}",
                    f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}",
                )
            ),
            f"{row['ms']:.1f}",
        ]
        for arm, row in found.iterrows()
    ]
    heads = ["arm", *(head for name in report.measures for head in (name, "95 %")), "ms"]
    table(heads, rows)
    for line in report.remarks():
        say(line)


def _names(text: str) -> list[str]:
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UserError(f"--k {text!r} is no list of numbers; write it as 1,4,10.") from error
