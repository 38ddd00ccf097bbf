"""Whose vectors a store holds: the encoder, checked against the one that the store was made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dallm.errors import StoreError
from dallm.knowledge.cut import retrieval_text
from dallm.knowledge.encoder import TextEncoder
from dallm.knowledge.passage import Passage

PROBE = "Blunting of the costophrenic angle on a chest radiograph."
_SAME = 0.99  # cosine: the same model on other hardware or another back end differs by less


class Signature(NamedTuple):
    """What a store keeps of the encoder that made its vectors: its name, and how it encodes one sentence.

    Attributes
    ----------
    identity : str
        See :class:`dallm.knowledge.encoder.TextEncoder`.
    probe : str
        The vector of :data:`PROBE`, little-endian float32, as hexadecimal digits.

    Examples
    --------
    >>> Signature("toy", "0000803f00000000").dimension
    2
    """

    identity: str
    probe: str

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return len(self.probe) // 8

    @property
    def vector(self) -> NDArray[np.float32]:
        """The vector of the probe, shape ``(dimension,)``."""
        return np.frombuffer(bytes.fromhex(self.probe), dtype="<f4").astype(np.float32)


class StoreEncoder:
    """The encoder of an open store; it encodes only where its vectors fit those held.

    Parameters
    ----------
    encoder : TextEncoder or None
        None means lexical retrieval: nothing is encoded.
    place : str
        What the store is called in messages, for example ``"The store 'knowledge.dallm'"``.
    kept : callable
        Gives the :class:`Signature` that the store keeps, or None while it holds no vectors.
    elsewhere : str, default="a new folder"
        Where to ingest with another encoder instead.

    Examples
    --------
    >>> StoreEncoder(None, place="The store 'a'", kept=lambda: None).given
    False
    """

    def __init__(
        self,
        encoder: TextEncoder | None,
        *,
        place: str,
        kept: Callable[[], Signature | None],
        elsewhere: str = "a new folder",
    ) -> None:
        self.encoder = encoder
        self._place = place
        self._kept = kept
        self._elsewhere = elsewhere
        self._signature: Signature | None = None
        self._fits: Signature | None = None

    @property
    def given(self) -> bool:
        """Whether there is an encoder."""
        return self.encoder is not None

    def check_identity(self) -> None:
        """Compare names only, which loads no model: for the opening of a store.

        Raises
        ------
        StoreError
            If the store was made with an encoder of another name.
        """
        self._check_name(self._kept())

    def check(self, kept: Signature | None) -> None:
        """Compare with what the store keeps; the probe is encoded once.

        Call it again within the transaction that writes vectors: another process may have been first.

        Raises
        ------
        StoreError
            If the encoder has another name, another dimension, or encodes the probe otherwise.
        """
        self._check_name(kept)
        if kept is None or self.encoder is None or kept == self._fits:
            return
        then, now = kept.vector, self.signature().vector
        if now.shape != then.shape:
            raise self._other(f"one of {len(then)} dimensions; this one has {len(now)}")
        if float(now @ then) < _SAME:
            raise self._other(f"one of {len(then)} dimensions that encodes otherwise")
        self._fits = kept

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape ``(len(texts), dimension)``, that may be compared with those held.

        Raises
        ------
        StoreError
            If the store was made with another encoder.
        """
        assert self.encoder is not None, "ask `given` first"
        if self._fits is None:
            self.check(self._kept())
        return self.encoder.encode(texts)

    def signature(self) -> Signature:
        """Return what the store has to keep with its first vectors."""
        assert self.encoder is not None, "ask `given` first"
        if self._signature is None:
            vector = self.encoder.encode([PROBE])[0].astype("<f4")
            self._signature = Signature(self.encoder.identity, vector.tobytes().hex())
        return self._signature

    def _check_name(self, kept: Signature | None) -> None:
        if kept is not None and self.encoder is not None and kept.identity != self.encoder.identity:
            raise self._other(repr(kept.identity))

    def _other(self, made_with: str) -> StoreError:
        given = self.encoder.identity if self.encoder else None
        return StoreError(
            f"{self._place} was made with another encoder ({made_with}; now {given!r}): their vectors "
            "cannot be compared. Open it with that encoder, with encoder=None for lexical retrieval, or "
            f"ingest into {self._elsewhere}."
        )


def texts_to_encode(passages: Sequence[Passage], held: set[str]) -> dict[str, str]:
    """Return what the encoder has to read, by the passage's digest; each text once, none that is held.

    Parameters
    ----------
    passages : sequence of Passage
    held : set of str
        Digests of passages that have a vector already.
    """
    return {p.sha256: retrieval_text(p) for p in passages if p.sha256 not in held}
