"""Each variant against ATRank: equal where it must be, elsewhere by its own formula; it differs, and it trains."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import F, assert_close, literal_attention, literal_feed_forward, literal_layer_norm, softmax
from runs import assert_fault, process, run_train

from atrank_np.backend import NumpyBackend
from atrank_np.config import VARIANTS, Config, defaults
from atrank_np.gradcheck import check_model, redrawn, toy_problem
from atrank_np.kernels import NumbaBackend
from atrank_np.models.atrank import ATRank
from atrank_np.models.common_space import CommonSpace
from atrank_np.models.variants import CLASSES
from atrank_np.optimizer import learning_rate

NAMES = [name for name in VARIANTS if name]


def problem_of(name, seed=2, **settings):
    return toy_problem(np.random.default_rng(seed), variant=name, **settings)


def run(problem, **changes):
    """-> scores, cache; `changes` replace parameters."""
    model, params, batch, scale, _ = problem
    return model.forward(params | changes, batch, scale)


def plain(problem):
    """The same problem for ATRank itself: the parameters that both have are the same ones."""
    space = problem.model.space
    space = CommonSpace(space.groups, space.width, space.actions, space.tables, space.item_bias)
    model = ATRank(space, problem.config.spaces, problem.config.ranking)
    shapes, params = model.shapes(), model.init(0, dense=0.8, table=1.0, dtype=np.float64)
    params |= {n: w for n, w in problem.params.items() if shapes.get(n) == w.shape}
    return problem._replace(model=model, params=params, config=replace(problem.config, variant=""))


def own(problem, layer, names):
    return [problem.params[f"{layer}.{name}"] for name in names.split()]


def history(problem, b=4):
    """S and C of history b, as the forward pass has them."""
    _, cache = run(problem)
    rows = slice(*problem.batch.offsets[b : b + 2])
    S, *_ = problem.model.space.forward(problem.params, problem.batch, problem.table_scale)
    return S[rows], cache.user.C[rows], cache


FEED = "F.W1 F.b1 F.W2 F.b2 F.gain F.bias"


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_every_parameter(name):
    checks, _ = redrawn(lambda rng: check_model(toy_problem(rng, variant=name, ranking="deep", dropout=0.3, backend="numpy")), 1)
    wrong = [str(check) for check in checks if not check.ok]
    assert not wrong, "\n".join(["wrong gradients", *wrong])


@pytest.mark.parametrize("name", NAMES)
def test_differs_and_trains(name):
    """At the same parameters the scores, or at least the gradients, are not those of ATRank. 30 steps lower the loss."""
    problem = problem_of(name)
    other, df = plain(problem), np.ones(len(problem.batch.label))
    dF_M = [p.model.backward(df, run(p)[1])["F_M.items.b"] for p in (problem, other)]
    assert np.abs(dF_M[0] - dF_M[1]).max() > 1e-5
    if name != "activation_l2":
        assert np.abs(run(problem)[0] - run(other)[0]).max() > 1e-3
    backend = NumpyBackend(problem.model, problem.model.init(0, dtype=np.float32), replace(problem.config, clip=1.0))
    losses = [backend.train_step(problem.batch, 0.2) for _ in range(30)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.02


def test_no_self_attention_is_the_feed_forward_net_alone():
    problem = problem_of("no_self_attention")
    S, C, cache = history(problem)
    assert_close(C, literal_feed_forward(S, *own(problem, "self", FEED)))
    assert not any(name.startswith(("self.P", "self.Q", "self.W")) for name in problem.params)
    assert cache.user.weights()["self"] == [None] * 5


def test_no_time_is_one_bucket():
    problem = problem_of("no_time")
    other = plain(problem)
    other = other._replace(batch=problem.batch._replace(bucket=0 * problem.batch.bucket))
    assert_close(run(problem)[0], run(other)[0])


def test_continuous_time_is_a_time_table_on_a_line():
    problem = problem_of("continuous_time")
    other, bucket = plain(problem), problem.batch.bucket
    elapsed = np.where(bucket > 0, 0.75 * 2.0**bucket, 0)
    problem = problem._replace(batch=problem.batch._replace(elapsed=elapsed))
    for g in problem.model.space.groups:
        times = np.append(0, 0.75 * 2.0 ** np.arange(1, g.buckets))
        x = 2 * np.log2(1 + times) / g.buckets - 1
        w, b, row = (problem.params[name] for name in (f"elapsed.{g.name}.w", f"elapsed.{g.name}.b", f"time.{g.name}"))
        other.params[f"time.{g.name}"] = row[0] + (x[:, None] * w + b) / problem.table_scale
    assert_close(run(problem)[0], run(other)[0])


def test_scaled_scores_literally():
    problem = problem_of("scaled_scores")
    S, C, cache = history(problem)
    P_W, P_b, K_W, K_b, Q_W, Q_b = own(problem, "self", "P.W P.b K.W K.b Q.W Q.b")
    s, key, value = F(S, P_W, P_b), F(S, K_W, K_b), F(S, Q_W, Q_b)
    weights = [softmax(s[:, k : k + 2] @ key[:, k : k + 2].T / 2**0.5) for k in (0, 2, 4)]
    assert_close(cache.user.weights()["self"][4], weights)
    c = np.concatenate([a @ value[:, 2 * k : 2 * k + 2] for k, a in enumerate(weights)], axis=1)
    assert_close(C, literal_feed_forward(S + c, *own(problem, "self", FEED)))


def test_the_equations_as_printed():
    problem = problem_of("printed")
    S, C, _ = history(problem)
    c = literal_attention(S, S, *own(problem, "self", "P.W P.b W Q.W Q.b"))
    assert_close(C, literal_feed_forward(c, *own(problem, "self", FEED)))
    assert problem.model.shapes() == plain(problem).model.shapes()


def test_attention_residual_literally():
    problem = problem_of("attention_residual", width=12)
    S, C, _ = history(problem)
    c = literal_attention(S, S, *own(problem, "self", "P.W P.b W Q.W Q.b"))
    x = literal_layer_norm(S + c, *own(problem, "self", "A.gain A.bias"))
    assert_close(C, literal_feed_forward(x, *own(problem, "self", FEED)))
    assert problem.params["self.F.W1"].shape == (12, 3)


def test_one_hot_times_a_matrix_is_a_row():
    """[u, one-hot] [W_u; T W_u] is (u + T[bucket]) W_u: with such a matrix it is ATRank."""
    problem = problem_of("time_concat")
    other = plain(problem)
    for g in problem.model.space.groups:
        W_u = problem.params[f"F_M.{g.name}.W"][: g.width]
        T = problem.table_scale * other.params[f"time.{g.name}"]
        other.params[f"F_M.{g.name}.W"] = W_u
        problem.params[f"F_M.{g.name}.W"] = np.concatenate([W_u, T @ W_u])
    assert_close(run(problem)[0], run(other)[0])


def test_linear_projection_is_F_M_far_above_its_kink():
    problem = problem_of("linear_projection")
    for g in problem.model.space.groups:
        problem.params[f"F_M.{g.name}.b"] += 30
    assert_close(run(problem)[0], run(plain(problem))[0])


def test_raw_query_is_the_embedding_itself():
    problem = problem_of("raw_query")
    _, cache = run(problem)
    h, batch = cache.ranking[0], problem.batch
    coupons = batch.target_group == 2
    assert_close(h[coupons], problem.table_scale * problem.params["table.coupon"][batch.target_object[coupons]])
    other = plain(problem)
    mine, theirs = (p.model.space.forward(p.params, batch, p.table_scale)[0] for p in (problem, other))
    assert_close(mine, theirs)


def test_activation_l2_changes_gradients_alone():
    problem = problem_of("activation_l2")
    (scores, cache), (same, _) = run(problem), run(plain(problem))
    assert_close(scores, same)
    h, e = cache.ranking[:2]
    assert problem.model.penalty(cache) == pytest.approx(2.5e-5 * ((h**2).sum() + (e**2).sum()))


@pytest.mark.parametrize("name", NAMES)
def test_attention_weights_can_be_read(name):
    problem = problem_of(name)
    weights = problem.model.forward(problem.params, problem.batch, problem.table_scale)[1].user.weights()
    for layer in ("vanilla",) if name == "no_self_attention" else ("self", "vanilla"):
        for length, weight in zip(np.diff(problem.batch.offsets), weights[layer], strict=True):
            assert length == 0 or weight.shape[0::2] == (3, length) and np.allclose(weight.sum(2), 1)


def test_a_model_without_kernels_is_refused():
    """A variant that is marked as compiled by mistake must not be trained as ATRank itself."""
    problem = problem_of("linear_projection")
    with pytest.raises(ValueError, match="^ATRank with LinearProjection: has no kernels, NumPy computes it$"):
        NumbaBackend(problem.model, problem.params, problem.config)


def test_an_unknown_kind_of_feature_is_refused():
    groups = problem_of("").model.space.groups
    column = groups[0].columns[0]._replace(kind="count")
    with pytest.raises(ValueError, match="^feature 'object': a kind 'count' has no embedding$"):
        CommonSpace([groups[0]._replace(columns=(column,))], 6, 3, {}, True)


# Settings and commands


def test_every_variant_has_its_classes():
    assert list(CLASSES) == list(VARIANTS)


@pytest.mark.parametrize("name", NAMES)
def test_own_defaults(name):
    config = defaults(variant=name)
    assert config.variant == name and config.backend == ("numba" if name in ("printed", "no_time") else "numpy")
    assert (config.l2 == 0) == (name in ("activation_l2", "authors"))


def test_the_authors_settings():
    """Their code: no L2 on weights but 5e-5 on activations, gradients clipped at 5, rate 1 in steps, negatives drawn once."""
    config = defaults(variant="authors")
    assert (config.l2, config.clip, config.learning_rate, config.schedule, config.fresh_negatives) == (0, 5, 1, "step", False)
    assert problem_of("authors").model.L2 == problem_of("activation_l2").model.L2 == Config().l2 == 5e-5


def test_faults_of_the_configuration():
    for settings, words in (
        (dict(variant="raw_query"), "`variant` 'raw_query' is computed by the backend 'numpy' alone, not by 'numba'"),
        (dict(variant="no_time", model="cnn", backend="numpy"), "`variant` 'no_time' is one of atrank, not of cnn"),
        (dict(variant="nonsense"), "`variant` must be one of"),
    ):
        with pytest.raises(ValueError, match=words):
            Config(**settings)


def test_a_step_in_the_learning_rate():
    config = Config(learning_rate=2.0, schedule="step")
    assert [learning_rate(config, step, 9) for step in (0, 5, 6, 8)] == pytest.approx([2, 2, 0.2, 0.2])


def test_commands(tiny, tmp_path):
    """A variant is trained with its own defaults, except where a flag says otherwise. Only NumPy can evaluate its run."""
    out = run_train(tiny, tmp_path / "run", "--variant", "continuous_time", "--learning-rate", "0.25")
    report = json.loads((out / "report.json").read_text())
    config = report["config"]
    assert (config["variant"], config["backend"], config["learning_rate"]) == ("continuous_time", "numpy", 0.25)
    again = process("evaluate", out, "--data", tiny, "--json")
    assert json.loads(again.stdout)["test_auc"] == report["test_auc"], again.stderr
    fault = process("evaluate", out, "--data", tiny, "--backend", "numba")
    assert_fault(fault, "--variant 'continuous_time' is computed by the backend 'numpy' alone, not by 'numba'")


def test_faults_are_one_line(tiny, tmp_path):
    fault = process("train", "--data", tiny, "--variant", "raw_query", "--backend", "numba", cwd=tmp_path)
    assert_fault(fault, "--variant 'raw_query' is computed by the backend 'numpy' alone, not by 'numba'")
    fault = process("train", "--data", tiny, "--variant", "raw_query", "--quiet", cwd=tmp_path)  # else it says what was read
    assert_fault(fault, "items: embeddings are 10 wide; raw queries must be as wide as the model, 128")
    assert not list(tmp_path.rglob("config.json"))
