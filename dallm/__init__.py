"""Evidence-backed clinical feature augmentation for tables of cases with free-text reports.

The public names are imported when they are first used, so that ``import dallm`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Ack": "dallm.ack.ack",
    "AnswerCache": "dallm.engines.llm.cache.store",
    "AsPublished": "dallm.evaluation.protocols",
    "Assertion": "dallm.engines.extractive.assertion",
    "Augmented": "dallm.augment.augmented",
    "Budget": "dallm.engines.llm.budget",
    "Case": "dallm.engines.base",
    "Cohort": "dallm.cohort",
    "EXPERT_QUERIES": "dallm.ack.queries",
    "Engine": "dallm.engines.base",
    "EvaluationReport": "dallm.evaluation.report",
    "ExpertQuery": "dallm.ack.queries",
    "Feature": "dallm.features",
    "FeatureAugmenter": "dallm.augment.transformer",
    "FeatureSet": "dallm.features",
    "Folder": "dallm.knowledge.sources.folder",
    "Forecast": "dallm.engines.llm.forecast",
    "Hit": "dallm.knowledge.passage",
    "Holdout": "dallm.evaluation.protocols",
    "KnowledgeStore": "dallm.knowledge.stores.base",
    "LLMEngine": "dallm.engines.llm.engine",
    "LeakFree": "dallm.evaluation.protocols",
    "Ledger": "dallm.engines.llm.ledger",
    "Lexicon": "dallm.lexicon",
    "Passage": "dallm.knowledge.passage",
    "Primer": "dallm.knowledge.sources.primer",
    "PubMed": "dallm.knowledge.sources.pubmed",
    "Radiopaedia": "dallm.knowledge.sources.radiopaedia",
    "TabNetClassifier": "dallm.evaluation.models.tabnet.classifier",
    "Wikipedia": "dallm.knowledge.sources.wikipedia",
    "assertion_of": "dallm.engines.extractive.assertion",
    "audit_prompts": "dallm.engines.llm.audit",
    "augment": "dallm.augment.pipeline",
    "build_ack": "dallm.ack.build",
    "compare_retrieval": "dallm.paper.table3",
    "control_fills": "dallm.evaluation.control_fills",
    "discover_features": "dallm.augment.discover",
    "engine": "dallm.engines.factory",
    "evaluate": "dallm.evaluation.evaluate",
    "evaluate_retrieval": "dallm.evaluation.retrieval",
    "fill_existing": "dallm.augment.existing",
    "fill_values": "dallm.augment.fill",
    "ingest": "dallm.knowledge.ingest",
    "make_cohort": "dallm.synthetic.cohort",
    "open_store": "dallm.knowledge.stores.open",
    "read_mimic": "dallm.readers.mimic",
    "read_openi": "dallm.readers.openi",
    "read_table": "dallm.readers.table",
    "acceptable_differences": "dallm.fidelity.acceptable",
    "value_fidelity": "dallm.fidelity.compare",
}

__all__ = sorted([*_WHERE, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "augment":  # a package that can be called; see its docstring
        return importlib.import_module("dallm.augment")
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dallm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from dallm.ack.ack import Ack as Ack
    from dallm.ack.build import build_ack as build_ack
    from dallm.ack.queries import EXPERT_QUERIES as EXPERT_QUERIES
    from dallm.ack.queries import ExpertQuery as ExpertQuery
    from dallm.augment.augmented import Augmented as Augmented
    from dallm.augment.discover import discover_features as discover_features
    from dallm.augment.existing import fill_existing as fill_existing
    from dallm.augment.fill import fill_values as fill_values
    from dallm.augment.pipeline import augment as augment
    from dallm.augment.transformer import FeatureAugmenter as FeatureAugmenter
    from dallm.cohort import Cohort as Cohort
    from dallm.engines.base import Case as Case
    from dallm.engines.base import Engine as Engine
    from dallm.engines.extractive.assertion import Assertion as Assertion
    from dallm.engines.extractive.assertion import assertion_of as assertion_of
    from dallm.engines.factory import engine as engine
    from dallm.engines.llm.audit import audit_prompts as audit_prompts
    from dallm.engines.llm.budget import Budget as Budget
    from dallm.engines.llm.cache.store import AnswerCache as AnswerCache
    from dallm.engines.llm.engine import LLMEngine as LLMEngine
    from dallm.engines.llm.forecast import Forecast as Forecast
    from dallm.engines.llm.ledger import Ledger as Ledger
    from dallm.evaluation.control_fills import control_fills as control_fills
    from dallm.evaluation.evaluate import evaluate as evaluate
    from dallm.evaluation.models.tabnet.classifier import TabNetClassifier as TabNetClassifier
    from dallm.evaluation.protocols import AsPublished as AsPublished
    from dallm.evaluation.protocols import Holdout as Holdout
    from dallm.evaluation.protocols import LeakFree as LeakFree
    from dallm.evaluation.report import EvaluationReport as EvaluationReport
    from dallm.evaluation.retrieval import evaluate_retrieval as evaluate_retrieval
    from dallm.features import Feature as Feature
    from dallm.features import FeatureSet as FeatureSet
    from dallm.fidelity.acceptable import acceptable_differences as acceptable_differences
    from dallm.fidelity.compare import value_fidelity as value_fidelity
    from dallm.knowledge.ingest import ingest as ingest
    from dallm.knowledge.passage import Hit as Hit
    from dallm.knowledge.passage import Passage as Passage
    from dallm.knowledge.sources.folder import Folder as Folder
    from dallm.knowledge.sources.primer import Primer as Primer
    from dallm.knowledge.sources.pubmed import PubMed as PubMed
    from dallm.knowledge.sources.radiopaedia import Radiopaedia as Radiopaedia
    from dallm.knowledge.sources.wikipedia import Wikipedia as Wikipedia
    from dallm.knowledge.stores.base import KnowledgeStore as KnowledgeStore
    from dallm.knowledge.stores.open import open_store as open_store
    from dallm.lexicon import Lexicon as Lexicon
    from dallm.paper.table3 import compare_retrieval as compare_retrieval
    from dallm.readers.mimic import read_mimic as read_mimic
    from dallm.readers.openi import read_openi as read_openi
    from dallm.readers.table import read_table as read_table
    from dallm.synthetic.cohort import make_cohort as make_cohort
