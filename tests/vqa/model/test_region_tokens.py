"""Region vectors reach exactly their placeholders, or an error names both counts."""

import math

import pytest
import torch
from torch import nn

from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.model.fusion import waves
from medglip.vqa.model.region_tokens import Injector, RegionProjector, mean_norm

REGION = 9


@pytest.fixture
def embedding() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(12, 4)


def test_vectors_replace_their_placeholders_and_nothing_else(embedding: nn.Embedding) -> None:
    plain = embedding(ids := torch.tensor([[1, REGION, 2, REGION], [3, 4, 5, REGION]]))
    vectors = [torch.ones(2, 4), torch.full((1, 4), 2.0)]
    injector = Injector(embedding, REGION)
    with injector.inject(vectors):
        embedded = embedding(ids)
    assert torch.equal(embedded[ids == REGION], torch.cat(vectors))
    assert torch.equal(embedded[ids != REGION], plain[ids != REGION])


def test_beams_and_return_sequences_repeat_each_sample_in_place(embedding: nn.Embedding) -> None:
    ids = torch.tensor([[1, REGION], [2, REGION]]).repeat_interleave(3, 0)
    vectors = [torch.ones(1, 4), torch.full((1, 4), 2.0)]
    injector = Injector(embedding, REGION)
    with injector.inject(vectors):
        assert embedding(ids)[:, 1, 0].tolist() == [1, 1, 1, 2, 2, 2]


def test_counts_are_compared_row_by_row_and_named(embedding: nn.Embedding) -> None:
    ids = torch.tensor([[1, REGION], [REGION, REGION]])
    injector = Injector(embedding, REGION)
    swapped = [torch.ones(2, 4), torch.ones(1, 4)]  # three in all, as many as placeholders
    with (
        pytest.raises(ValueError, match=r"\[1, 2\] <region> tokens.*\[2, 1\] region vectors"),
        injector.inject(swapped),
    ):
        embedding(ids)
    with pytest.raises(ValueError, match="2 rows of tokens, 3 samples"), injector.inject([torch.ones(1, 4)] * 3):
        embedding(ids)
    with pytest.raises(ValueError, match=r"\[1, 2\] <region> tokens"):
        embedding(ids)  # placeholders without any vectors


def test_vectors_that_are_never_used_are_an_error(embedding: nn.Embedding) -> None:
    injector = Injector(embedding, REGION)
    unused = pytest.raises(ValueError, match=r"\[1\] region vectors were given, 0 were injected")
    with unused, injector.inject([torch.ones(1, 4)]):
        embedding(torch.tensor([[1, 2]]))
    assert injector.vectors is None


def test_no_regions_leave_the_embedding_untouched(embedding: nn.Embedding) -> None:
    ids = torch.tensor([[1, 2, 3]])
    plain = embedding(ids)
    injector = Injector(embedding, REGION)
    with injector.inject([torch.zeros(0, 4)]):
        assert torch.equal(embedding(ids), plain)


def test_projected_vectors_start_at_the_norm_of_embedded_words(embedding: nn.Embedding) -> None:
    norm = mean_norm(embedding, 12)
    torch.manual_seed(1)
    vectors = RegionProjector(TokenShape(3), 64, norm)(torch.randn(5, 3 + 11))
    assert vectors.shape == (5, 64)
    assert torch.allclose(vectors.norm(dim=1), torch.tensor(norm), rtol=0.02)


def test_a_short_training_tells_names_and_places_apart() -> None:
    draws = torch.Generator().manual_seed(0)
    places, names = torch.rand(1200, 2, generator=draws), torch.randint(0, 12, (1200,), generator=draws)
    cells = (places * 3).long() @ torch.tensor([3, 1])
    vectors = nn.functional.normalize(torch.randn(12, 32, generator=draws))[names]
    features = torch.cat([vectors, places - 0.1, places + 0.1, places, torch.full((1200, 2), 0.04)], dim=1)
    torch.manual_seed(0)
    projector, words = RegionProjector(TokenShape(32, (), 8), 96), torch.randn(96, 9 + 12, generator=draws)
    optimizer = torch.optim.AdamW(projector.parameters(), lr=2e-3)
    for step in range(60):  # the words of the language model are frozen
        rows = slice(step % 20 * 50, step % 20 * 50 + 50)
        said = projector(features[rows]) @ words / 2
        loss = sum(
            nn.functional.cross_entropy(*pair) for pair in ((said[:, :9], cells[rows]), (said[:, 9:], names[rows]))
        )
        optimizer.zero_grad()
        torch.as_tensor(loss).backward()
        optimizer.step()
    said = projector(features[1000:]) @ words
    assert (said[:, :9].argmax(1) == cells[1000:]).float().mean() > 0.9  # without waves 0.8
    assert (said[:, 9:].argmax(1) == names[1000:]).float().mean() > 0.9


def test_waves_differ_in_every_place_and_stay_between_bounds() -> None:
    places = torch.linspace(0, 1, 101)[:, None]
    found = waves(places, math.pi, order="by_coordinate")
    assert found.shape == (101, 8)
    assert found.abs().max() <= 1
    assert torch.cdist(found, found).fill_diagonal_(9).min() > 0.1


def test_weights_saved_before_there_were_waves_compute_what_they_did() -> None:
    torch.manual_seed(2)
    old, new = (RegionProjector(TokenShape(3, (), 8), 16) for _ in range(2))
    saved = {name: value for name, value in old.state_dict().items() if name != "place.weight"}
    new.take(saved)
    given = torch.rand(5, 3 + 8)
    assert torch.equal(new(given), new.norm(new.layers(given)))
    with pytest.raises(RuntimeError):
        new.take({name: value for name, value in saved.items() if name != "norm.weight"})


def test_the_tokens_of_a_region_follow_each_other_and_each_reads_its_own_features() -> None:
    torch.manual_seed(3)
    projector, rows = RegionProjector(TokenShape(3, (2, 4)), 16), torch.rand(5, 3 + 2 + 4 + 11)
    tokens = projector(rows).unflatten(0, (5, 3))
    assert torch.allclose(projector(rows[1:2]), tokens[1], atol=1e-6)
    changed = rows.clone()
    changed[:, 3:5] += 1  # the pooled features of the first stride
    differs = ((projector(changed).unflatten(0, (5, 3)) - tokens).abs() > 1e-4).any(-1)
    assert differs.tolist() == [[False, True, False]] * 5
