"""The models of an evaluation: named presets, references, and any scikit-learn classifier.

`resolve_models` turns what a user names into :class:`ModelSpec` objects; what they build takes a feature set
as it is and prepares it inside the training fold.
"""

from dallm.evaluation.models.device import DeviceError, resolve_device
from dallm.evaluation.models.encoding import TableEncoder
from dallm.evaluation.models.presets import PAPER_MODELS, PRESETS, REFERENCES, Tuned
from dallm.evaluation.models.resolve import ModelSpec, resolve_models
from dallm.evaluation.models.table import TableClassifier
from dallm.evaluation.models.tabnet import TabNetClassifier, fit_together
from dallm.evaluation.models.tuned import TunedClassifier

__all__ = [
    "PAPER_MODELS",
    "PRESETS",
    "REFERENCES",
    "DeviceError",
    "ModelSpec",
    "TabNetClassifier",
    "TableClassifier",
    "TableEncoder",
    "Tuned",
    "TunedClassifier",
    "fit_together",
    "resolve_device",
    "resolve_models",
]
