"""The packaged sentence encoder, without its framework: weights, torch, and batches that suit the machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dallm.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")
_BATCH_TOKENS = 1024  # what a layer makes of these stays in a core's second-level cache
_BATCH_TOKENS_GPU = 65_536
_STEP = 8
_ENCODING = threading.Lock()  # one call takes all cores


class SentenceBert:
    """A BERT that encodes sentences: mean of the last layer over the tokens, scaled to length one.

    Loaded from the files of a SentenceTransformer model, in a second or two where that library takes ten and
    more. Batches hold texts of nearly one length, and each of the processor's cores works on a batch of its
    own. A text is filled up to a multiple of eight tokens, whatever stands beside it, so that on a processor
    its vector does not depend on its batch.

    Parameters
    ----------
    folder : Path
        Folder of a SentenceTransformer model of BERT's architecture with mean pooling.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        ``"bfloat16"`` multiplies matrices in that precision and keeps all else in float32: nearly twice as
        fast on a processor that has instructions for it, and cosines of .9999 to the vectors of float32.
        ``"auto"`` takes it where the processor has them.

    Raises
    ------
    UserError
        If `precision` is none of the three.
    OSError, KeyError, ValueError
        If a file is missing, or is none of such a model.
    """

    def __init__(self, folder: Path, *, precision: Precision = "auto") -> None:
        import torch
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        check_precision(precision)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        limits = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self._tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokens.no_padding()
        self._tokens.enable_truncation(int(limits["max_seq_length"]))
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        auto = "bfloat16" if self.device == "cpu" and multiplies_bfloat16() else "float32"
        self.precision = auto if precision == "auto" else precision
        weights = load_file(folder / "model.safetensors", device=self.device)
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._embedding = {
            name: weights[f"embeddings.{name}"]
            for name in (
                "word_embeddings.weight",
                "position_embeddings.weight",
                "LayerNorm.weight",
                "LayerNorm.bias",
            )
        }
        # every text is one segment, the first
        self._segment = weights["embeddings.token_type_embeddings.weight"][0]
        low = getattr(torch, self.precision)
        layers = range(int(config["num_hidden_layers"]))
        self.layers = [_layer(weights, f"encoder.layer.{i}.", low) for i in layers]

    def encode(self, sentences: list[str], /, *, show_progress_bar: bool = False) -> NDArray[np.float32]:
        """Return unit vectors, shape ``(len(sentences), dimension)``; a long text is cut at the limit."""
        import torch

        ids = [e.ids for e in self._tokens.encode_batch_fast(sentences)] if sentences else []
        out = np.zeros((len(ids), len(self._segment)), dtype=np.float32)
        lengths = [-(-len(i) // _STEP) * _STEP for i in ids]

        def run(rows: list[int]) -> None:
            out[rows] = self._vectors([ids[row] for row in rows], lengths[rows[0]])

        with _ENCODING:
            # one batch per core wastes less than all cores on one batch; a single batch runs on one core too,
            # so that a question is encoded exactly as a passage is
            cores = torch.get_num_threads()
            workers, tokens = (cores, _BATCH_TOKENS) if self.device == "cpu" else (1, _BATCH_TOKENS_GPU)
            pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
            try:
                for _ in pool.map(run, batches(lengths, tokens)):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)
                # what the workers set would hold for every thread that starts later
                torch.set_num_threads(cores)
        return out

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the vectors of one batch.

        Parameters
        ----------
        ids : int64 tensor, shape (n, length)
            Token numbers, filled up on the right.
        mask : bool tensor, shape (n, length)
            Which of them are tokens.
        """
        from torch.nn import functional

        table = self._embedding
        x = table["word_embeddings.weight"][ids] + table["position_embeddings.weight"][: ids.shape[1]]
        width = len(self._segment)
        x = functional.layer_norm(
            x + self._segment, (width,), table["LayerNorm.weight"], table["LayerNorm.bias"], self._epsilon
        )
        seen = mask[:, None, None, :]
        for layer in self.layers:
            x = self._through(layer, x, seen)
        kept = mask[:, :, None].to(x.dtype)
        return functional.normalize((x * kept).sum(1) / kept.sum(1), dim=1)

    def _through(self, layer: dict[str, Any], x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        low, width = layer["attended.weight"].dtype, len(self._segment)

        def linear(name: str, values: torch.Tensor) -> torch.Tensor:
            return functional.linear(values, layer[f"{name}.weight"], layer[f"{name}.bias"])

        def norm(name: str, values: torch.Tensor) -> torch.Tensor:
            return functional.layer_norm(
                values, (width,), layer[f"{name}.weight"], layer[f"{name}.bias"], self._epsilon
            )

        n, length, _ = x.shape
        split = linear("all", x.to(low)).view(n, length, 3, self._heads, width // self._heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        seen_by = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        x = norm("first", x + linear("attended", seen_by.transpose(1, 2).reshape(n, length, width)))
        return norm("second", x + linear("down", functional.gelu(linear("up", x.to(low)))))

    def _vectors(self, ids: Sequence[Sequence[int]], length: int) -> NDArray[np.float32]:
        import torch

        numbers = np.zeros((len(ids), length), dtype=np.int64)
        mask = np.zeros((len(ids), length), dtype=bool)
        for row, one in enumerate(ids):
            numbers[row, : len(one)] = one
            mask[row, : len(one)] = True
        with torch.inference_mode():
            vectors = self.forward(
                torch.from_numpy(numbers).to(self.device), torch.from_numpy(mask).to(self.device)
            )
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found


def check_precision(precision: str) -> None:
    """Refuse a precision that is none of :data:`PRECISIONS`.

    Raises
    ------
    UserError
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}; got {precision!r}.")


def batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Yield the numbers of texts that make a batch: of one length, the longest first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens per text, those that fill it up included.
    most_tokens : int
        Tokens in a batch at most; a longer text is a batch of its own.

    Examples
    --------
    >>> list(batches([8, 16, 8, 8], most_tokens=16))
    [[1], [0, 2], [3]]
    """
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    for length in sorted(by_length, reverse=True):
        rows, size = by_length[length], max(1, most_tokens // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _layer(weights: dict[str, Any], prefix: str, low: torch.dtype) -> dict[str, Any]:
    import torch

    ours = {
        "attended": "attention.output.dense",
        "up": "intermediate.dense",
        "down": "output.dense",
        "first": "attention.output.LayerNorm",
        "second": "output.LayerNorm",
    }
    found = {}
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
        found[f"all.{kind}"] = torch.cat(parts).to(low)
        for name, theirs in ours.items():
            given = weights[f"{prefix}{theirs}.{kind}"]
            found[f"{name}.{kind}"] = given if "LayerNorm" in theirs else given.to(low)
    return found


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them torch imitates it, slowly."""
    import torch

    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))
