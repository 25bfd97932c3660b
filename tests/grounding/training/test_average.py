"""The average follows the weights, is only lent to the model, and is what a training keeps."""

import torch
from torch import nn

from medglip.grounding.training.checkpoint import WeightAverage


def test_the_average_of_standing_weights_is_the_weights() -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    for step in range(1, 6):
        average.update(model, step)
    torch.testing.assert_close(average.weights["weight"], model.weight.detach())


def test_it_forgets_the_start_and_is_lent_for_a_while() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.9)
    nn.init.ones_(model.weight)
    for step in range(1, 60):
        average.update(model, step)
    assert 0.95 < float(average.weights["weight"]) < 1
    with average.used_by(model):
        assert model.weight.item() < 1
        assert not model.training
    assert model.weight.item() == 1
    assert model.training


def test_without_decay_nothing_happens() -> None:
    model = nn.Linear(1, 1)
    average = WeightAverage(model, 0.0)
    average.update(model, 1)
    with average.used_by(model):
        pass
    assert average.weights == {}
