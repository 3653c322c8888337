"""The toy problem, for every model."""

import numpy as np
import pytest

from atrank_np.config import MODELS
from atrank_np.gradcheck import (
    toy_problem,
)

RANKED = [(model, "dot") for model in MODELS] + [(model, "deep") for model in MODELS if model != "bpr_mf"]


DROPPING = ["atrank", "bilstm_attention"]  # the models with a feed-forward net, where dropout is


COMPETITORS = [model for model in MODELS if model != "atrank"]


EVERY = pytest.mark.parametrize("model", MODELS)


def problem_of(seed=0, **settings):
    return toy_problem(np.random.default_rng(seed), **settings)


def richest(model):
    """The settings that use all parts of a model."""
    return dict(model=model, ranking="dot" if model == "bpr_mf" else "deep")


def scores_of(problem, batch=None, dropout=None):
    return problem.model.forward(problem.params, batch or problem.batch, problem.table_scale, dropout)[0]
