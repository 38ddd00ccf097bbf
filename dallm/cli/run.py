"""One run of the main job: cases in, a folder with the augmented table, its evidence and the page out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dallm import __version__
from dallm.cli.engines import EngineChoice, left_open, show_forecast
from dallm.cli.evaluation_screen import show_short
from dallm.cli.outputs import CHECKPOINT, KNOWLEDGE, RESULTS, OutputFolder
from dallm.cli.screen import notice, say, step, wants_progress
from dallm.cli.stores import check_there, open_given, place_of
from dallm.cli.summary import show_counts, show_files
from dallm.errors import FeatureError, UserError, did_you_mean
from dallm.knowledge.conditions import PAPER_CONDITIONS

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.augment.augmented import Augmented
    from dallm.augment.cells import Uncertain
    from dallm.cli.inputs import CaseInput
    from dallm.cohort import Cohort
    from dallm.features import Feature, FeatureSet
    from dallm.knowledge.stores.base import KnowledgeStore
    from dallm.lexicon import Lexicon

UNCERTAIN: tuple[Uncertain, ...] = ("missing", "present", "absent")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user chose besides the cases.

    With `features` nothing is discovered, and knowledge is gathered only when conditions are named.
    """

    conditions: Sequence[str] = ()
    features: Path | None = None
    extra: Sequence[str] = ()
    lexicon: Sequence[Path] = ()
    store: str | None = None
    namespace: str | None = None
    kind: str | None = None
    ack: Path | None = None
    uncertain: Uncertain = "missing"
    engine: EngineChoice = field(default_factory=EngineChoice)

    def __post_init__(self) -> None:
        if self.uncertain not in UNCERTAIN:
            raise UserError(
                f"--uncertain {self.uncertain!r} is not one of {', '.join(UNCERTAIN)}."
                f"{did_you_mean(self.uncertain, UNCERTAIN)}"
            )
        if self.needs_knowledge and self.store is None:
            _check_primer_knows(self.conditions)
        if self.ack is not None and self.store is not None:
            raise UserError("--ack and --store exclude each other: the answers are there already.")
        for path in (self.features, self.ack, *self.lexicon):
            if path is not None and not path.is_file():
                raise UserError(f"There is no file {str(path)!r}.")
        if self.store is not None:
            check_there(self.store)

    @property
    def needs_knowledge(self) -> bool:
        """Whether the expert questions have to be asked."""
        return self.ack is None and (self.features is None or bool(self.conditions))

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, for the record of the run."""
        return {
            "dallm": __version__,
            "project data": data_digest(),
            "conditions": list(self.conditions or PAPER_CONDITIONS) if self.needs_knowledge else [],
            "features": _digest(self.features),
            "extra features": list(self.extra),
            "lexicon": [_digest(path) for path in self.lexicon],
            "store": place_of(self.store),
            "namespace": self.namespace,
            "ack": _digest(self.ack),
            "uncertain": self.uncertain,
            **self.engine.settings(),
        }


def run(cases: CaseInput, choices: Choices, out: Path, *, overwrite: bool, evaluate: bool = False) -> None:
    """Do the main job, or go on with it, and show what came of it."""
    folder = OutputFolder(out)
    request = {**cases.settings(), **choices.settings()}
    folder.refuse_other(request, overwrite=overwrite)
    lexicon = read_lexicon(choices.lexicon)
    given = None if choices.features is None else read_features(choices.features)
    extra = [named_feature(name, lexicon) for name in choices.extra]
    step(f"Reading {cases.label}")
    cohort = cases.read()
    for note in cohort.notes:
        step(f"  {note}")
    if evaluate and not cohort.targets:
        raise UserError("--evaluate needs something to predict: name it with --target COLUMN.")
    augmented = augment_into(
        folder,
        cohort,
        choices,
        request=request,
        lexicon=lexicon,
        given=given,
        extra=extra,
        overwrite=overwrite,
    )
    show_counts(augmented)
    say()
    show_files(folder.path)
    if evaluate:
        show_short(augmented, f"dallm evaluate {folder.path} --out {folder / 'evaluation'}")


def augment_into(
    folder: OutputFolder,
    cohort: Cohort,
    choices: Choices,
    *,
    request: dict[str, Any],
    lexicon: Lexicon,
    overwrite: bool,
    given: FeatureSet | None = None,
    extra: Sequence[Feature] = (),
) -> Augmented:
    """Fill the folder from the cohort, or load what an equal request left there.

    Raises
    ------
    typer.Exit
        After a dry run, which shows what filling will take.
    """
    import dallm

    request = {**request, "digest of the cases": cohort.sha256}
    folder.refuse_other(request, overwrite=overwrite)
    folder.check_space(_bytes_needed(cohort))
    state = folder.begin(request, overwrite=overwrite)
    if state == "done":
        step(f"The folder {str(folder.path)!r} already holds the result of this very request.")
        return dallm.Augmented.load(folder.path)
    if state == "resume":
        step(f"Going on with what is in {str(folder.path)!r}.")
    engine = choices.engine.open(lexicon)
    # a dry run asks a model nothing: the extractive engine finds about as many features
    asked = EngineChoice().open(lexicon) if choices.engine.dry_run else engine
    ack = gather(choices, folder / KNOWLEDGE, asked)
    features = given if given is not None else discover(ack, cohort, asked)
    features = features + [f for f in extra if f.name not in features.names]
    if not len(features):
        raise FeatureError(
            "Nothing to look for: the knowledge names no feature that the table lacks. "
            "Name some with --feature, or give a file with --features."
        )
    if choices.engine.dry_run:
        show_forecast(engine, cohort, features, ack)
        raise typer.Exit
    step(f"Filling {len(features):,} features of {len(cohort):,} cases")
    augmented = dallm.fill_values(
        cohort,
        features,
        ack=ack,
        engine=engine,
        uncertain=choices.uncertain,
        progress=wants_progress(),
        checkpoint=folder / CHECKPOINT,
    )
    step(f"Writing to {str(folder.path)!r}")
    augmented.save(folder.path)
    augmented.to_html(folder / "evidence.html")
    if left_open(augmented):
        return augmented
    folder.finish([name for name in RESULTS if (folder / name).exists()])
    return augmented


def gather(choices: Choices, own_store: Path, engine: Any) -> Ack | None:
    """Return the answers to the expert questions, or None where they are not needed."""
    import dallm

    if choices.ack is not None:
        return dallm.Ack.load(choices.ack)
    if not choices.needs_knowledge:
        return None
    conditions = list(choices.conditions or PAPER_CONDITIONS)
    with closing(open_knowledge(choices, own_store, conditions)) as store:
        step(f"Asking the expert questions about {', '.join(conditions)}")
        return dallm.build_ack(store, conditions=conditions, engine=engine)


def open_knowledge(choices: Choices, own: Path, conditions: Sequence[str]) -> KnowledgeStore:
    """Open the user's store, or one of the run's own that holds the primer."""
    import dallm

    if choices.store is not None:
        return open_given(choices.store, namespace=choices.namespace, kind=choices.kind)
    # on a text as small as the primer words find what the encoder finds, without loading it for half a minute
    store = dallm.open_store(own, encoder=None)
    step("Reading the primer into a store")
    dallm.ingest(store, sources=[dallm.Primer()], conditions=conditions, progress=wants_progress())
    return store


def discover(ack: Ack | None, cohort: Cohort, engine: Any) -> FeatureSet:
    """Return the features that the answers name and the cohort lacks."""
    import dallm

    if ack is None:
        raise FeatureError(
            "Without answers to the expert questions nothing can be discovered; give --features."
        )
    found = dallm.discover_features(ack, cohort=cohort, engine=engine)
    reasons: dict[str, list[str]] = {}
    for dropped in found.dropped:
        reasons.setdefault(dropped.why, []).append(dropped.name)
    for why, names in reasons.items():
        step(f"  left out {', '.join(names)}: {why}")
    return found


def _check_primer_knows(conditions: Sequence[str]) -> None:
    """Refuse a condition that the primer has nothing about, before anything long begins."""
    from dallm.knowledge.conditions import known_conditions, resolve_condition

    known = known_conditions()
    for name in conditions:
        if resolve_condition(name) not in known:
            raise UserError(
                f"The built-in primer holds nothing about {name!r}.{did_you_mean(name, known)} It knows: "
                f"{', '.join(known)}. For another condition give a store with texts about it: --store FOLDER."
            )


def read_lexicon(paths: Sequence[Path]) -> Lexicon:
    """Return the lexicon, with the user's files added to it."""
    import dallm

    return dallm.Lexicon.load(*paths) if paths else dallm.Lexicon.default()


def read_features(path: Path) -> FeatureSet:
    """Read a file of features, and refuse an empty one."""
    import dallm

    features = dallm.FeatureSet.from_json(path)
    if not len(features):
        raise FeatureError(f"The file {str(path)!r} holds no feature.")
    return features


def named_feature(name: str, lexicon: Lexicon) -> Feature:
    """Make the feature of this name: typed as in the lexicon, or boolean and looked for as written."""
    from dallm.features import Feature

    concept = lexicon.find(name)
    if concept is None:
        notice(f"Note: {name!r} is in no lexicon; it is looked for as written.")
        return Feature(name, "boolean", origin="user")
    return Feature(
        name,
        concept.kind,
        unit=concept.unit,
        low=concept.low,
        high=concept.high,
        levels=concept.levels or None,
        origin="user",
        category=concept.category,
    )


def data_digest() -> str:
    """Digest of the lexicon, thresholds and templates that come with dallm."""
    from dallm.resources import data_path

    root = data_path("lexicon").parent
    made = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".toml", ".md", ".json")):
        made.update(path.relative_to(root).as_posix().encode())
        made.update(path.read_bytes())
    return made.hexdigest()


def _digest(path: Path | None) -> str | None:
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def _bytes_needed(cohort: Cohort) -> int:
    """A generous guess of what the results take: the text three times, and a page and cells for each case."""
    text = sum(int(cohort.frame[column].astype("string").str.len().sum()) for column in cohort.report)
    return 50_000_000 + 3 * text + 3_000 * len(cohort)
