"""From what a user names to models that can be fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dallm.errors import UserError, did_you_mean
from dallm.evaluation.models import presets
from dallm.evaluation.models.device import Place, resolve_device
from dallm.evaluation.models.presets import PAPER_MODELS, PRESETS, REFERENCES, Tuned
from dallm.evaluation.models.table import TableClassifier, encoding_for, gpu_kind
from dallm.evaluation.models.tabnet.classifier import TabNetClassifier
from dallm.evaluation.models.tabnet.together import fit_together
from dallm.evaluation.models.tuned import TunedClassifier

_DEEP = ("tabnet", "tabpfn")


@dataclass(frozen=True)
class ModelSpec:
    """A model of an evaluation.

    Attributes
    ----------
    name : str
    build : callable
        ``build(seed, device)`` returns an unfitted classifier that takes a feature set as it is: ``fit(X, y,
        groups=)``, ``predict_proba``; afterwards `device_`, `notes_` and perhaps `operating_cases_`.
    deep : bool
        Whether one fit takes seconds rather than fractions of one.
    notes : tuple of str
        What a reader of the result has to know.
    device : str
        Where it will compute: ``cpu`` or ``cuda:0``.
    together : callable, optional
        Fits several of its classifiers at once, each to its own (X, y, groups), with the results of one after
        the other; see :func:`~dallm.evaluation.models.fit_together`.
    """

    name: str
    build: Callable[[int, str], Any]
    deep: bool = False
    notes: tuple[str, ...] = ()
    device: str = "cpu"
    together: Callable[[Sequence[Any], Sequence[tuple[Any, Any, Any]]], None] | None = None


def resolve_models(models: Any = None, *, device: str = "auto", seed: int = 0) -> dict[str, ModelSpec]:
    """Return the models by name.

    Parameters
    ----------
    models : str, estimator, list of them, or mapping of name to one; optional
        Names are `decision_tree`, `random_forest`, `xgboost` and `tabnet`, each with ``:defaults``,
        ``:paper`` or ``:tuned`` behind it (without: the library's defaults), `logistic_regression`,
        `hist_gradient_boosting` and `tabpfn`. Estimators are scikit-learn classifiers, cloned for each fit; a
        :class:`Tuned` is a tuned preset with a budget of its own. By default the paper's four.
    device : str
        See :func:`~dallm.evaluation.models.device.resolve_device`.
    seed : int
        Not used for fitting, where `build` gets one; a model is built once to see that it can be.

    Raises
    ------
    UserError
        A name is not known or stands twice; an object is no classifier.
    ExtraMissingError
        A model's package is not installed.
    DeviceError
        A GPU asked for by name is not there.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> found = resolve_models(["xgboost:tuned", GaussianNB()], device="cpu")
    >>> list(found)
    ['xgboost:tuned', 'GaussianNB']
    >>> found["GaussianNB"].build(0, "cpu").encode
    'fill'
    >>> resolve_models("xgbost")
    Traceback (most recent call last):
        ...
    dallm.errors.UserError: Model 'xgbost' is not known. Did you mean 'xgboost'? Known: decision_tree, ...
    """
    if device != "auto":  # that it is there; whether there is a GPU only a model that can use one asks
        resolve_device(device)
    found: dict[str, ModelSpec] = {}
    for name, given in _listed(models):
        spec = _spec(name, given, device)
        if spec.name in found:
            raise UserError(
                f"Two models are called {spec.name!r}; give a mapping of names of your own to models."
            )
        found[spec.name] = spec
        spec.build(seed, spec.device)
    if not found:
        raise UserError("No model was given; leave models= out for the paper's four.")
    return found


def _listed(models: Any) -> list[tuple[str | None, Any]]:
    if models is None:
        return [(name, name) for name in PAPER_MODELS]
    if isinstance(models, Mapping):
        return [(str(name), given) for name, given in models.items()]
    if isinstance(models, (str, Tuned)) or hasattr(models, "fit"):
        return [(None, models)]
    if not isinstance(models, Iterable):
        raise UserError(
            f"models= is a {type(models).__name__}; give names, classifiers, or a mapping of them."
        )
    return [(None, given) for given in models]


def _spec(name: str | None, given: Any, device: str) -> ModelSpec:
    if isinstance(given, ModelSpec):
        return given
    if isinstance(given, Tuned):
        _check_tuned(given)
        return _make(
            name or f"{given.model}:tuned", given.model, partial(presets.tuned, given), device, searches=True
        )
    if isinstance(given, str):
        return _by_name(name or given, given, device)
    if isinstance(given, type):
        raise UserError(f"Model {name or given.__name__!r} is a class; give an instance: {given.__name__}().")
    _check_estimator(name, given)
    name = name or _name_of(given)
    if isinstance(given, (TabNetClassifier, TableClassifier, TunedClassifier)):
        deep = isinstance(given, TabNetClassifier)
        place = resolve_device(device, "tabnet") if deep else Place("cpu")
        together = fit_together if type(given) is TabNetClassifier else None
        return ModelSpec(name, partial(_own, given), deep, _said(place.note), place.device, together)
    place = resolve_device(device, gpu_kind(given))
    return ModelSpec(
        name,
        partial(_placed, partial(_wrapped, given, encoding_for(given)), device),
        False,
        _said(place.note),
        place.device,
    )


def _by_name(name: str, given: str, device: str) -> ModelSpec:
    model, _, preset = given.partition(":")
    if model not in (*PAPER_MODELS, *REFERENCES):
        known = [*PAPER_MODELS, *REFERENCES]
        raise UserError(
            f"Model {given!r} is not known.{did_you_mean(model, known)} Known: {', '.join(known)}."
        )
    allowed = PRESETS if model in PAPER_MODELS else ("defaults",)
    if preset and preset not in allowed:
        raise UserError(
            f"Model {given!r}: {model} has no preset {preset!r}.{did_you_mean(preset, allowed)} "
            f"It has: {', '.join(allowed)}."
        )
    presets.check_installed(model)
    make: Callable[[int, str], Any] = partial(presets.named, model)
    if preset == "paper":
        make = partial(presets.paper, model)
    elif preset == "tuned":
        make = partial(presets.tuned, Tuned(model))
    return _make(name, model, make, device, searches=preset == "tuned")


def _make(
    name: str, model: str, make: Callable[[int, str], Any], device: str, *, searches: bool = False
) -> ModelSpec:
    place = resolve_device(device, model)
    build = partial(_placed, make, device)
    together = fit_together if model == "tabnet" and not searches else None
    return ModelSpec(name, build, model in _DEEP, _said(place.note), place.device, together)


def _placed(make: Callable[[int, str], Any], asked: str, seed: int, device: str) -> Any:
    """Build for the device of the fit; what was asked for by name says whether it may fall back."""
    return make(seed, asked if device.startswith("cuda") and asked != "cpu" else device)


def _wrapped(given: Any, encode: Any, seed: int, device: str) -> Any:
    return TableClassifier(given, encode=encode, random_state=seed, device=device)


def _own(given: Any, seed: int, device: str) -> Any:
    from sklearn.base import clone

    model = clone(given)
    if getattr(given, "device", None) == "auto":
        model.set_params(device=device)
    return model if isinstance(given.random_state, int) else model.set_params(random_state=seed)


def _said(note: str) -> tuple[str, ...]:
    return (note,) if note else ()


def _check_tuned(choice: Tuned) -> None:
    if choice.model not in PAPER_MODELS:
        raise UserError(
            f"Tuned({choice.model!r}): there is no search for it.{did_you_mean(choice.model, PAPER_MODELS)} "
            f"There is one for {', '.join(PAPER_MODELS)}."
        )


def _check_estimator(name: str | None, given: Any) -> None:
    from sklearn.base import is_classifier

    label = f"Model {name or type(given).__name__!r}"
    missing = [m for m in ("fit", "predict", "get_params", "set_params") if not hasattr(given, m)]
    if missing:
        raise UserError(f"{label} is no scikit-learn classifier: it has no {missing[0]}().")
    if not is_classifier(given):
        raise UserError(f"{label} is no classifier, but targets are yes or no; give its classifier variant.")
    if not hasattr(given, "predict_proba") and not hasattr(given, "decision_function"):
        raise UserError(
            f"{label} gives neither probabilities nor scores; wrap it in "
            "sklearn.calibration.CalibratedClassifierCV or give another classifier."
        )


def _name_of(given: Any) -> str:
    steps = getattr(given, "steps", None)
    return type(steps[-1][1] if steps else given).__name__
