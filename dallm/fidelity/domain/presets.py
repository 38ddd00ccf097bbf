"""The domain models of Table 2, by their names on the model hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dallm.errors import UserError, did_you_mean

Kind = Literal["causal", "masked"]


@dataclass(frozen=True, slots=True)
class DomainPreset:
    """A language model on the hub.

    Attributes
    ----------
    hub : str
        Name on the hub. The paper names families, not revisions: this is the public model nearest to it.
    kind : {"causal", "masked"}
        A causal model writes a number; a masked one says how likely each number of a list is.
    parameters : str
        Its size: 7 thousand million parameters take 14 GB in half precision.
    gated : bool
        Whether the hub asks for an agreement first.
    """

    hub: str
    kind: Kind
    parameters: str
    gated: bool = False


DOMAIN_MODELS: dict[str, DomainPreset] = {
    "BioGPT": DomainPreset("microsoft/biogpt", "causal", "347 M"),
    "ClinicalBERT": DomainPreset("medicalai/ClinicalBERT", "masked", "135 M"),
    "BioClinicalBERT": DomainPreset("emilyalsentzer/Bio_ClinicalBERT", "masked", "108 M"),
    "Mistral": DomainPreset("mistralai/Mistral-7B-Instruct-v0.1", "causal", "7 B", gated=True),
    "Zephyr": DomainPreset("HuggingFaceH4/zephyr-7b-beta", "causal", "7 B"),
    "Llama2": DomainPreset("meta-llama/Llama-2-7b-chat-hf", "causal", "7 B", gated=True),
    "Meditron": DomainPreset("epfl-llm/meditron-7b", "causal", "7 B", gated=True),
}
"""Presets by the name of their row in Table 2."""


def preset_for(model: str | Path, kind: Kind | None = None) -> DomainPreset:
    """Return the preset of a name, or make one for a folder or another model of the hub.

    Parameters
    ----------
    model : str or Path
        A name in :data:`DOMAIN_MODELS`, a folder, or ``"owner/name"``.
    kind : {"causal", "masked"}, optional
        Needed where `model` is no preset.

    Raises
    ------
    UserError
        If there is no such preset, or the kind is not known.

    Examples
    --------
    >>> preset_for("Zephyr").hub, preset_for("bert-folder/", "masked").kind
    ('HuggingFaceH4/zephyr-7b-beta', 'masked')
    """
    if kind not in (None, "causal", "masked"):
        raise UserError(f"kind must be 'causal' or 'masked', got {kind!r}.")
    by_name = {name.lower(): preset for name, preset in DOMAIN_MODELS.items()}
    by_name |= {preset.hub.lower(): preset for preset in DOMAIN_MODELS.values()}
    found = by_name.get(str(model).lower())
    if found is not None:
        return found
    text = str(model)
    if not Path(text).is_dir() and "/" not in text:
        raise UserError(
            f"There is no preset {text!r}.{did_you_mean(text, DOMAIN_MODELS)} There are: "
            f"{', '.join(DOMAIN_MODELS)}; or name a folder, or a model of the hub as owner/name."
        )
    if kind is None:
        raise UserError(f"Say what {text!r} is: kind='causal' writes on, kind='masked' fills a gap.")
    return DomainPreset(text, kind, "unknown")
