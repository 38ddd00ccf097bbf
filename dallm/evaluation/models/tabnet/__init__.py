"""TabNet: pytorch-tabnet's network behind a scikit-learn classifier that trains on every row."""

from dallm.evaluation.models.tabnet.classifier import TabNetClassifier
from dallm.evaluation.models.tabnet.together import fit_together

__all__ = ["TabNetClassifier", "fit_together"]
