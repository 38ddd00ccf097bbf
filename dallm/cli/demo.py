"""``dallm demo``: the main job on a synthetic cohort, whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dallm.cli.augment import OverwriteOption
from dallm.cli.evaluation_screen import show_short
from dallm.cli.screen import say, step
from dallm.cli.summary import show_counts, show_files, show_quotes

if TYPE_CHECKING:
    import pandas as pd

    from dallm.augment.augmented import Augmented
    from dallm.cohort import Cohort

INPUT = "reports.csv"


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")] = Path(
        "dallm-demo"
    ),
    cases: Annotated[
        int, typer.Option("--cases", min=1, help="How many cases to make up.", metavar="N")
    ] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other cases.", metavar="N")] = 0,
    evaluate: Annotated[
        bool, typer.Option("--evaluate/--no-evaluate", help="End with a short evaluation.")
    ] = True,
    overwrite: OverwriteOption = False,
) -> None:
    """Make up a cohort with reports, augment it, and compare the new columns with what is true.

    At the end a short evaluation tells whether the new columns help to predict the made-up targets.

    Needs no data, no key, no server and no download.
    """
    import dallm
    from dallm.cli.outputs import OutputFolder
    from dallm.cli.run import Choices, augment_into

    folder = OutputFolder(out)
    choices = Choices()
    request = {"demo": {"cases": cases, "seed": seed}, **choices.settings()}
    folder.refuse_other(request, overwrite=overwrite)
    step(f"Making up {cases:,} synthetic cases")
    cohort, truth = dallm.make_cohort(cases, seed, return_truth=True)
    augmented = augment_into(
        folder, cohort, choices, request=request, lexicon=dallm.Lexicon.default(), overwrite=overwrite
    )
    _write_input(cohort, folder / INPUT)
    _show(augmented, truth, folder.path)
    if evaluate:
        show_short(augmented, f"dallm evaluate {folder.path} --out {folder / 'evaluation'}", seed=seed)


class Agreement(NamedTuple):
    """How the filled cells compare with what the synthetic reports say.

    `stated` counts statements, true or false, about a feature that was looked for; `found` those with a
    value, `right` those with the right one. `filled` counts cells with a value from a report, `kept` those
    among them that the report states just so, `contrary` those of which it states the opposite. The rest
    follow from a broader or narrower statement (no chest pain, so none on lying down), or are mistaken.
    """

    features: int
    stated: int
    found: int
    right: int
    filled: int
    kept: int
    contrary: int


def agreement(augmented: Augmented, truth: pd.DataFrame) -> Agreement:
    """Compare the boolean features that have a truth with it.

    Parameters
    ----------
    augmented : Augmented
    truth : DataFrame of shape (n_cases, n_features)
        Indexed by case id: True and False as stated in the report, ``<NA>`` where it says nothing certain.
    """
    import pandas as pd

    shared = [f.name for f in augmented.features if f.kind == "boolean" and f.name in truth]
    columns = [augmented.columns_of[name] for name in shared]
    said = truth.loc[augmented.frame.index, shared].astype("boolean")
    made = augmented.frame[columns].set_axis(shared, axis=1).astype("boolean")
    cells = augmented.cells
    cells = cells[cells["feature"].isin(shared)]
    from_report = cells.assign(report=cells["source"].eq("report").fillna(False)).pivot(
        index="case_id", columns="feature", values="report"
    )
    reported = made.notna() & pd.DataFrame(from_report.loc[made.index, shared].astype(bool))
    agrees = (said == made).fillna(False).astype(bool)
    return Agreement(
        features=len(shared),
        stated=int(said.notna().to_numpy().sum()),
        found=int((said.notna() & made.notna()).to_numpy().sum()),
        right=int(agrees.to_numpy().sum()),
        filled=int(reported.to_numpy().sum()),
        kept=int((reported & agrees).to_numpy().sum()),
        contrary=int((reported & said.notna() & ~agrees).to_numpy().sum()),
    )


def _show(augmented: Augmented, truth: pd.DataFrame, folder: Path) -> None:
    say()
    say("Synthetic cases: nobody's data. The knowledge is the dallm primer, unreviewed, not for care.")
    show_counts(augmented)
    say()
    say("A few cells and what they rest on", style="bold")
    show_quotes(augmented)
    say()
    _show_agreement(agreement(augmented, truth))
    say()
    say("Files", style="bold")
    show_files(folder)
    say()
    columns = " ".join(f"--report {c}" for c in augmented.cohort.report)
    say("The same for a table of yours, tried on the cases just made up:", style="bold")
    say(f"  dallm augment {folder / INPUT} --id {augmented.cohort.id} {columns} --out out")


def _show_agreement(found: Agreement) -> None:
    say("Checked against the truth of the synthetic reports", style="bold")
    if not found.stated or not found.filled:
        say("  too few cases to say anything; ask for more with --cases")
        return
    say(
        f"  {found.stated:,} statements about {found.features} features: "
        f"{100 * found.found / found.stated:.1f} % have a value, "
        f"{100 * found.right / found.stated:.1f} % the right one"
    )
    say(
        f"  {found.filled:,} cells filled from a report: "
        f"{100 * found.kept / found.filled:.1f} % as it states, "
        f"{100 * found.contrary / found.filled:.1f} % the opposite"
    )
    say("  the other cells follow from a broader or narrower statement, or are mistaken")


def _write_input(cohort: Cohort, path: Path) -> None:
    from dallm.files import replacing

    with replacing(path) as part:
        cohort.frame.to_csv(part, index=False)
