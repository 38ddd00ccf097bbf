"""TabNet: pytorch-tabnet's network behind a scikit-learn classifier that trains on every row."""

from dallm.evaluation.models.tabnet.classifier import TabNetClassifier, fit_together

__all__ = ["TabNetClassifier", "fit_together"]
