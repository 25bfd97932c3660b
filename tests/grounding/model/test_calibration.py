"""Calibrated scores are chances, keep their order within a phrase, and come back from a configuration."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit, logit

from medglip.grounding import BadInput
from medglip.grounding.model.calibration import (
    Calibration,
    best_threshold,
    calibration_from_json,
    fit_calibration,
)

RNG = np.random.default_rng(0)


def test_too_sure_scores_become_chances() -> None:
    chances = RNG.uniform(0.02, 0.98, 4000)
    is_right = RNG.random(4000) < chances
    raw = expit(3 * logit(chances) + 1)
    found = fit_calibration(raw, np.zeros(4000), is_right, int(is_right.sum()), logit(chances), is_right)
    assert np.abs(found.scores(raw, np.zeros(4000)) - chances).max() < 0.06
    assert np.abs(found.presences(logit(chances)) - chances).max() < 0.06


def test_presence_moves_scores_and_order_within_a_phrase_stays() -> None:
    present = RNG.random(2000) < 0.5
    raw, presence = RNG.uniform(0.3, 0.9, 2000), np.where(present, 3.0, -3.0)
    found = fit_calibration(raw, presence, present, int(present.sum()), presence, present)
    assert found.scores(0.6, 3.0) > 0.9 > 0.1 > found.scores(0.6, -3.0)
    assert (np.diff(found.scores(np.sort(raw), np.full(2000, 1.0))) >= 0).all()


def test_identity_round_trip_and_perfect_separation() -> None:
    plain = calibration_from_json(None)
    assert plain.scores(0.3, 5.0) == pytest.approx(0.3)
    fitted = fit_calibration([0.9, 0.1], [1, -1], [True, False], 1, [2.0, -2.0], [True, False])
    assert np.isfinite([*fitted.score, *fitted.presence]).all()
    assert calibration_from_json(json.loads(json.dumps(asdict(fitted)))) == fitted
    assert Calibration() == plain
    with pytest.raises(BadInput, match="no predicted region"):
        fit_calibration([], [], [], 3, [0.0], [True])


def test_the_threshold_is_best_for_f1() -> None:
    scores, is_right = np.array([0.9, 0.8, 0.6, 0.4]), np.array([True, True, False, False])
    assert best_threshold(scores, is_right, 2) == 0.8


def test_a_weight_counts_like_so_many_copies() -> None:
    rng = np.random.default_rng(1)
    raw, right = rng.uniform(0.05, 0.95, 60), rng.random(60) < 0.5
    presence, copies = rng.normal(size=60), np.repeat(np.arange(60), np.arange(60) % 3 + 1)
    weights = (np.arange(60) % 3 + 1) / 2.0
    once = fit_calibration(raw, presence, right, 20, presence, right, weights, weights)
    raw, presence, right = (values[copies] for values in (raw, presence, right))
    copied = fit_calibration(raw, presence, right, 40, presence, right)
    assert (*once.score, *once.presence) == pytest.approx((*copied.score, *copied.presence), abs=1e-3)
    assert once.threshold == pytest.approx(copied.threshold, abs=1e-3)
