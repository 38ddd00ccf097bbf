"""MMTF's network, its training and its answers; see :mod:`dallm.fidelity.mmtf`."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dallm.fidelity.mmtf_words import PADDING

if TYPE_CHECKING:
    from dallm.fidelity.mmtf import MMTFSettings

_ANSWERS = 256  # rows that are answered at once


@dataclass(frozen=True)
class Rows:
    """Rows on a device: scaled vitals with zeros for what is unknown, word numbers, image embeddings."""

    values: torch.Tensor  # (rows, vitals)
    known: torch.Tensor  # (rows, vitals) bool
    words: torch.Tensor  # (rows, length)
    images: torch.Tensor | None  # (rows, dimension)

    @classmethod
    def of(
        cls,
        scaled: NDArray[np.float64],
        words: NDArray[np.int64],
        images: NDArray[np.float64] | None,
        device: torch.device,
    ) -> Rows:
        known = ~np.isnan(scaled)
        longest = int((words != PADDING).sum(axis=1).max(initial=1))  # no time for padding alone
        return cls(
            torch.tensor(np.where(known, scaled, 0.0), dtype=torch.float32, device=device),
            torch.tensor(known, device=device),
            torch.tensor(words[:, : max(longest, 1)], device=device),
            None if images is None else torch.tensor(images, dtype=torch.float32, device=device),
        )

    def __len__(self) -> int:
        return len(self.values)

    def take(self, at: torch.Tensor) -> Rows:
        images = None if self.images is None else self.images[at]
        return Rows(self.values[at], self.known[at], self.words[at], images)


class Network(nn.Module):
    """One token per word, per vital and per image; the hidden vital's token says what it was."""

    def __init__(self, n_words: int, n_vitals: int, n_image: int, settings: MMTFSettings) -> None:
        super().__init__()
        width = settings.width
        self.words = nn.Embedding(n_words, width, padding_idx=PADDING)
        self.places = nn.Embedding(settings.words, width)
        self.slope = nn.Parameter(torch.randn(n_vitals, width) * 0.1)
        self.which = nn.Parameter(torch.randn(n_vitals, width) * 0.1)
        self.unknown = nn.Parameter(torch.randn(width) * 0.1)
        self.hidden = nn.Parameter(torch.randn(width) * 0.1)
        self.image = nn.Linear(n_image, width) if n_image else None
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 2 * width, settings.dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, settings.layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.answer = nn.Linear(width, 1)

    def forward(self, rows: Rows, asked: torch.Tensor) -> torch.Tensor:
        """Return the asked vital of each row, shape (rows,); its value in `rows` is not looked at."""
        n, n_vitals = rows.values.shape
        at = torch.arange(n, device=asked.device)
        known = rows.known.clone()
        known[at, asked] = False
        values = torch.where(known, rows.values, torch.zeros_like(rows.values))
        vitals = self.which + values[..., None] * self.slope
        vitals = vitals + (~known)[..., None] * self.unknown
        is_asked = nn.functional.one_hot(asked, n_vitals).to(vitals.dtype)
        vitals = vitals + is_asked[..., None] * self.hidden
        places = torch.arange(rows.words.shape[1], device=asked.device)
        tokens = [vitals, self.words(rows.words) + self.places(places)]
        empty = [torch.zeros_like(known), rows.words == PADDING]
        if self.image is not None and rows.images is not None:
            tokens.append(self.image(rows.images)[:, None])
            empty.append(torch.zeros((n, 1), dtype=torch.bool, device=asked.device))
        read = self.encoder(torch.cat(tokens, dim=1), src_key_padding_mask=torch.cat(empty, dim=1))
        answers: torch.Tensor = self.answer(read[at, asked])[:, 0]
        return answers


def trained(
    rows: Rows,
    held: Rows | None,
    *,
    n_words: int,
    settings: MMTFSettings,
    seed: int,
    device: torch.device,
) -> Network:
    """Train a network on `rows`; with `held` rows it stops early and the best weights are kept."""
    n_image = 0 if rows.images is None else rows.images.shape[1]
    network = Network(n_words, rows.values.shape[1], n_image, settings).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    order = np.random.default_rng(seed)
    usable = np.flatnonzero(rows.known.any(dim=1).cpu().numpy())
    known = rows.known.cpu().numpy()
    best, best_weights, waited = np.inf, None, 0
    for _ in range(settings.epochs):
        network.train()
        shuffled = order.permutation(usable)
        # one known vital of each row, drawn anew in every epoch
        draws = np.where(known, order.random(known.shape), -1.0).argmax(axis=1)
        for start in range(0, len(shuffled), settings.batch_size):
            chosen = shuffled[start : start + settings.batch_size]
            at = torch.as_tensor(chosen, device=device)
            asked = torch.as_tensor(draws[chosen], device=device)
            wanted = rows.values[at, asked]
            loss = nn.functional.mse_loss(network(rows.take(at), asked), wanted)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if held is None or settings.patience is None:
            continue
        error = _error(network, held)
        if error < best:
            best, best_weights, waited = error, copy.deepcopy(network.state_dict()), 0
        else:
            waited += 1
            if waited >= settings.patience:
                break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    return network


def predicted(network: Network, rows: Rows) -> NDArray[np.float64]:
    """Return every vital of every row, each with itself hidden; shape (rows, vitals)."""
    network.eval()
    n, n_vitals = rows.values.shape
    made = np.empty((n, n_vitals))
    with torch.inference_mode():
        for start in range(0, n, _ANSWERS):
            at = torch.arange(start, min(start + _ANSWERS, n), device=rows.values.device)
            block = rows.take(at)
            for vital in range(n_vitals):
                asked = torch.full((len(at),), vital, device=at.device)
                made[start : start + len(at), vital] = network(block, asked).double().cpu().numpy()
    return made


def _error(network: Network, rows: Rows) -> float:
    known = rows.known.cpu().numpy()
    wrong = predicted(network, rows) - rows.values.double().cpu().numpy()
    return float((wrong[known] ** 2).mean()) if known.any() else np.inf
