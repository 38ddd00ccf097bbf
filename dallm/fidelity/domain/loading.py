"""Loads a language model from this machine's disk, or says how to bring it there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from dallm.errors import EngineError, ExtraMissingError, UserError
from dallm.fidelity.domain.presets import DomainPreset

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, on a device.

    Attributes
    ----------
    model, tokenizer : objects of transformers
    device : str
    length : int
        Tokens that it reads at most, its answer included.
    """

    model: Any
    tokenizer: Any
    device: str
    length: int


def load(preset: DomainPreset, *, device: str = "auto", download: bool = False) -> Loaded:
    """Load a model.

    Parameters
    ----------
    preset : DomainPreset
    device : str, default="auto"
        ``"auto"`` takes a GPU where there is one.
    download : bool, default=False
        Fetch what is not on the disk. ``HF_HUB_OFFLINE`` forbids it in any case.

    Raises
    ------
    EngineError
        If the model is not on the disk or cannot be loaded; the message says how to get it.
    ExtraMissingError
        If a package is missing that its tokenizer needs.
    UserError
        If the device is not there.
    """
    import torch

    try:
        from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer
    except ImportError as error:
        raise ExtraMissingError("Domain models need transformers: pip install transformers.") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={device!r}: torch finds no GPU; use 'auto' or 'cpu'.")
    kind = AutoModelForMaskedLM if preset.kind == "masked" else AutoModelForCausalLM
    local = not download or _offline()
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(preset.hub, local_files_only=local)
        dtype = torch.float32 if device == "cpu" else "auto"
        model = kind.from_pretrained(preset.hub, local_files_only=local, dtype=dtype)
    except ImportError as error:
        first = str(error).strip().splitlines()[0]
        raise ExtraMissingError(f"{preset.hub!r} needs another package: {first}") from error
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(_not_there(preset, download)) from error
    except torch.OutOfMemoryError as error:
        raise EngineError(f"{preset.hub!r} ({preset.parameters}) does not fit into {device}.") from error
    finally:
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model.to(device)  # type: ignore[arg-type]  # declared as a method of the class
        model.eval()
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"{preset.hub!r} ({preset.parameters}) does not fit into {device}; use device='cpu' or a "
            "larger GPU."
        ) from error
    if preset.kind == "masked" and tokenizer.mask_token_id is None:
        raise EngineError(f"{preset.hub!r} has no mask token, so it is no masked model; pass kind='causal'.")
    positions = getattr(model.config, "max_position_embeddings", None) or 2048
    length = min(int(positions), int(min(tokenizer.model_max_length, 1 << 20)))
    return Loaded(model, tokenizer, device, length)


def _offline() -> bool:
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in _OFFLINE)


def _not_there(preset: DomainPreset, download: bool) -> str:
    said = f"The model {preset.hub!r} ({preset.parameters} parameters) cannot be loaded from this machine"
    if download and not _offline():
        return f"{said} nor fetched; check its name and the network{_agreement(preset)}."
    hindered = " HF_HUB_OFFLINE is set, which forbids fetching it; unset it first." if _offline() else ""
    return (
        f"{said}.{hindered} Fetch it with download=True or 'hf download {preset.hub}'"
        f"{_agreement(preset)}, or name a folder that holds it."
    )


def _agreement(preset: DomainPreset) -> str:
    return ", after agreeing to its terms on the hub and 'hf auth login'" if preset.gated else ""
