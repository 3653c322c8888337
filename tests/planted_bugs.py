"""The tests are tested: each of these bugs, planted alone into a copy of the package, must be caught by the test it names.

    python tests/planted_bugs.py [-k NAME]

Caught means that an assertion of that test fails; a bug that crashes proves nothing about the test and counts as missed.
A source text that is no longer found exactly once is an error: the bug must follow the code.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Bug(NamedTuple):
    name: str
    file: str  # in atrank_np
    text: str  # stands in the file exactly once
    replacement: str
    test: str  # test_FILE.py::test_NAME that must fail


DIRECTIONS = "test_directions_and_entries_of_every_parameter[0-dot-True]"


def bugs_in(file, test_file, *bugs):
    return [Bug(name, file, text, new, f"{test_file}::{test}") for name, text, new, test in bugs]


BUGS = [
    *bugs_in(
        "layers/embedding.py",
        "test_embedding.py",
        ("lost repeat", "np.add.reduceat(values[order], starts, axis=0)", "values[order][starts]", "test_gradients"),
        ("unsorted values", "np.add.reduceat(values[order]", "np.add.reduceat(values", "test_sum_rows_against_a_loop"),
        ("bag weight lost in backward", "sum_rows(ids, weight * dy[bag])", "sum_rows(ids, dy[bag])", "test_gradients"),
        ("bag is a sum", "weight * table[ids])  # F1", "table[ids])  # F1", "test_bag_is_the_mean_of_its_rows"),
        (
            "bag loses repeats",
            "np.add.at(y, bag, weight * table[ids])",
            "y[bag] += weight * table[ids]",
            "test_bag_is_the_mean_of_its_rows",
        ),
        ("number's dw without x", "return x @ dy, dy.sum(0)", "return dy.sum(0), dy.sum(0)", "test_gradients"),
        ("number's db a mean", "return x @ dy, dy.sum(0)", "return x @ dy, dy.mean(0)", "test_gradients"),
    ),
    *bugs_in(
        "layers/perceptron.py",
        "test_perceptron.py",
        ("linear db a mean", "db = dy.sum(0)", "db = dy.mean(0)", "test_gradients"),
        ("linear bias lost", "y = x @ W + b", "y = x @ W + 0 * b", "test_perceptron_is_relu_of_xw_plus_b"),
        ("relu lets all through backward", "return dy * (y > 0)", "return dy * 1.0", "test_gradients"),
        ("relu's closed side let through", "return dy * (y > 0)", "return dy * (y >= 0)", "test_relu_values_and_its_kink"),
        ("perceptron without relu backward", "dz = relu_backward(dy, relu_cache)", "dz = dy", "test_gradients"),
    ),
    *bugs_in(
        "layers/attention.py",
        "test_attention.py",
        ("softmax Jacobian's second term", "a * (da - (a * da).sum(-1, keepdims=True))", "a * da", "test_gradients"),
        ("softmax second term over the array", "(a * da).sum(-1, keepdims=True)", "(a * da).sum()", "test_gradients"),
        (
            "softmax overflows",
            "np.exp(x - x.max(-1, keepdims=True))",
            "np.exp(x)",
            "test_softmax_literally_shifted_and_without_overflow",
        ),
        (
            "softmax over queries",
            "e / e.sum(-1, keepdims=True)",
            "e / e.sum(-2, keepdims=True)",
            "test_equations_2_to_5_literally",
        ),
        ("dK and dV swapped", "return dquery, dkey, dvalue", "return dquery, dvalue, dkey", "test_gradients"),
        ("dquery lost", "dquery[rows] = join_spaces(dscores @ k)", "pass", "test_gradients"),
        ("dkey lost", "dkey[keys] = join_spaces(dscores.transpose(0, 2, 1) @ q)", "pass", "test_gradients"),
        ("dvalue lost", "dvalue[keys] = join_spaces(a.transpose(0, 2, 1) @ dcb)", "pass", "test_gradients"),
        ("gradient not through the softmax", "dscores = softmax_backward(da, a)", "dscores = da", "test_gradients"),
        (
            "scores scaled",
            "scores = q @ k.transpose(0, 2, 1)",
            "scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])",
            "test_equations_2_to_5_literally",
        ),
        ("P and Q swapped in backward", "dP_W, dP_b, dW, dQ_W, dQ_b", "dQ_W, dQ_b, dW, dP_W, dP_b", "test_gradients"),
        (
            "P in the place of Q",
            "perceptron_forward(m, Q_W, Q_b)",
            "perceptron_forward(m, P_W, P_b)",
            "test_equations_2_to_5_literally",
        ),
        ("dm without the key", "dm = dm + dkey @ W.reshape(K * d, Dm)", "pass", "test_gradients"),
        ("dm without the value", "dm = dm + dkey @ W.reshape(K * d, Dm)", "dm = dkey @ W.reshape(K * d, Dm)", "test_gradients"),
        ("dm by the transposed W", "dkey @ W.reshape(K * d, Dm)", "dkey @ W.reshape(K * d, Dm).T", "test_gradients"),
        ("dW transposed", "(dkey.T @ m)", "(m.T @ dkey)", "test_gradients"),
        ("W transposed", "m @ W.reshape(K * d, Dm).T", "m @ W.reshape(K * d, Dm)", "test_equations_2_to_5_literally"),
    ),
    *bugs_in(
        "layers/attention.py",
        "test_model.py",
        (
            "histories see those before",
            "slice(*offsets[b : b + 2])\n        if keys",
            "slice(0, offsets[b + 1])\n        if keys",
            "test_an_unrelated_segment_does_not_matter[True]",
        ),
    ),
    *bugs_in(
        "layers/feedforward.py",
        "test_feedforward.py",
        ("layer norm's third term", "dnormed - mean_road - deviation_road", "dnormed - mean_road", "test_gradients"),
        ("layer norm's mean road", "dnormed - mean_road - deviation_road", "dnormed - deviation_road", "test_gradients"),
        ("layer norm's deviation lost", "deviation_road) * rstd", "deviation_road)", "test_gradients"),
        ("layer norm's gain lost", "dnormed = dy * gain", "dnormed = dy", "test_gradients"),
        ("dgain without the rows", "dgain = (dy * normed).sum(0)", "dgain = dy.sum(0)", "test_gradients"),
        (
            "variance in one pass",
            "(centred**2).mean(1, keepdims=True)",
            "((x**2).mean(1, keepdims=True) - x.mean(1, keepdims=True) ** 2)",
            "test_layer_norm_far_from_zero",
        ),
        ("no epsilon", " + EPSILON)", ")", "test_layer_norm_literally"),
        (
            "sample variance",
            "(centred**2).mean(1, keepdims=True)",
            "centred.var(1, keepdims=True, ddof=1)",
            "test_layer_norm_literally",
        ),
        ("dropout not in backward", "mask * dsum", "dsum", "test_gradients"),
        ("residual's gradient lost", "return dx + dsum, dW1", "return dx, dW1", "test_gradients"),
        ("residual's gradient dropped out", "return dx + dsum, dW1", "return dx + dout, dW1", "test_gradients"),
        ("residual lost", "layer_norm_forward(x + dropped", "layer_norm_forward(dropped", "test_feed_forward_literally"),
        (
            "dropout over the residual",
            "layer_norm_forward(x + dropped",
            "layer_norm_forward(x * (1 if mask is None else mask) + dropped",
            "test_feed_forward_literally",
        ),
    ),
    *bugs_in(
        "layers/ranking.py",
        "test_ranking.py",
        ("dh and de swapped", "df[:, None] * e, df[:, None] * h", "df[:, None] * h, df[:, None] * e", "test_gradients"),
        ("deep's product lost", "dh + dproduct * e, de + dproduct * h", "dh, de", "test_gradients"),
        (
            "deep's product by itself",
            "dh + dproduct * e, de + dproduct * h",
            "dh + dproduct * h, de + dproduct * e",
            "test_gradients",
        ),
        (
            "point-wise gradient of the sum",
            "(sigmoid(f) - label) / f.dtype.type(len(f))",
            "(sigmoid(f) - label)",
            "test_gradients",
        ),
        (
            "point-wise loss a sum",
            "(softplus(f) - label * f).mean()",
            "(softplus(f) - label * f).sum()",
            "test_pointwise_is_the_mean_of_equation_8",
        ),
        ("upstream of the loss ignored", "dloss * (sigmoid(f) - label)", "(sigmoid(f) - label)", "test_gradients"),
        ("labels turned", "softplus(f) - label * f", "softplus(f) - (1 - label) * f", "test_pointwise_is_the_mean_of_equation_8"),
        ("negatives' sign", "np.add.at(df, negative, -dmargin)", "np.add.at(df, negative, dmargin)", "test_gradients"),
        ("a positive's pairs lost", "np.add.at(df, positive, dmargin)", "df[positive] += dmargin", "test_gradients"),
        ("margin's sign", "sigmoid(-margin)", "sigmoid(margin)", "test_gradients"),
        ("pair-wise gradient of the sum", " / margin.dtype.type(len(margin))", "", "test_gradients"),
        ("pairs across histories", "start + down.ravel()", "down.ravel()", "test_pairs_are_within_a_history"),
        (
            "log without 1p",
            "np.log1p(np.exp(-np.abs(x)))",
            "np.log(1 + np.exp(-np.abs(x)))",
            "test_small_probabilities_keep_their_digits",
        ),
    ),
    *bugs_in(
        "models/common_space.py",
        "test_model.py",
        (
            "target's share of F_M",
            "[dS[rows], dh[places]]",
            "[dS[rows], 0 * dh[places]]",
            DIRECTIONS,
        ),
        (
            "history's share of F_M",
            "[dS[rows], dh[places]]",
            "[0 * dS[rows], dh[places]]",
            DIRECTIONS,
        ),
        (
            "time's gradient lost",
            'gradients.add(f"time.{g.name}", lookup_backward(du, time_cache))',
            "pass",
            DIRECTIONS,
        ),
        (
            "action's gradient lost",
            'gradients.add(f"action.{g.name}", lookup_backward(du, act_cache))',
            "pass",
            DIRECTIONS,
        ),
        (
            "item bias counted twice",
            "lookup_backward(dbias[places]",
            "lookup_backward(2 * dbias[places]",
            DIRECTIONS,
        ),
        ("unknown row trained", "ids, values = ids[ids > 0], values[ids > 0]", "pass", "test_unknown_rows_get_no_gradient"),
        (
            "shared table overwritten",
            "self.rows.setdefault(name, []).append(gradient)",
            "self.rows[name] = [gradient]",
            DIRECTIONS,
        ),
        (
            "shared array overwritten",
            "self.dense[name] = self.dense[name] + gradient",
            "self.dense[name] = gradient",
            "test_a_parameter_used_twice_gets_the_sum",
        ),
        (
            "scale of features ignored",
            "return scale * value, cache",
            "return value, cache",
            "test_stored_scale_of_the_tables_does_not_matter",
        ),
        ("scale of time ignored", "+ scale * time", "+ time", "test_stored_scale_of_the_tables_does_not_matter"),
        ("scale of actions ignored", "+ scale * act", "+ act", "test_stored_scale_of_the_tables_does_not_matter"),
        (
            "action of the positive",
            "np.full(len(places), g.target_action, batch.action.dtype)",
            "(g.target_action * (batch.label[places] > 0)).astype(batch.action.dtype)",
            "test_scores_do_not_see_the_labels",
        ),
        (
            "target's action is 0",
            "np.full(len(places), g.target_action, batch.action.dtype)",
            "np.zeros(len(places), batch.action.dtype)",
            "test_scores_are_the_equations_literally",
        ),
        (
            "target's bucket is 1",
            "np.zeros(len(places), batch.bucket.dtype)",
            "np.ones(len(places), batch.bucket.dtype)",
            "test_scores_are_the_equations_literally",
        ),
        (
            "item bias of another object",
            'f"bias.{g.name}"], batch.target_object[places])',
            'f"bias.{g.name}"], batch.target_object[places] * 0)',
            "test_scores_are_the_equations_literally",
        ),
    ),
    *bugs_in(
        "models/atrank.py",
        "test_model.py",
        ("h's use as a query lost", "dh + dh_query", "dh", DIRECTIONS),
        ("h's use in the score lost", "dh + dh_query", "dh_query", DIRECTIONS),
        ("S's use as a query lost", "dS_query + dS_memory", "dS_memory", DIRECTIONS),
        ("S's use as memory lost", "dS_query + dS_memory", "dS_query", DIRECTIONS),
        (
            "vanilla attention over S",
            "attention_forward(h, C,",
            "attention_forward(h, S,",
            "test_scores_are_the_equations_literally",
        ),
        (
            "vanilla with the parameters of self",
            'own = [params[f"vanilla.{name}"]',
            'own = [params[f"self.{name}"]',
            "test_scores_are_the_equations_literally",
        ),
        ("score without F_vanilla", "dot_forward(h, e)", "dot_forward(h, x)", "test_scores_are_the_equations_literally"),
        ("one mask for both layers", "dropout.mask(1, x.shape", "dropout.mask(0, x.shape", "test_scores_with_dropout_literally"),
        (
            "bias gradient's sign",
            "dh + dh_query, df, cache.space",
            "dh + dh_query, -df, cache.space",
            DIRECTIONS,
        ),
        ("bias lost", "return f + bias, Cache(", "return f, Cache(", "test_scores_are_the_equations_literally"),
        ("unknown row initialised", "params[name][0] = 0", "pass", "test_initialisation_by_kind"),
        (
            "seed of the initialisation ignored",
            'stream(seed, "initialisation")',
            'stream(0, "initialisation")',
            "test_initialisation_depends_on_the_seed_alone",
        ),
    ),
    *bugs_in(
        "backend.py",
        "test_model.py",
        (
            "same dropout at every step",
            "config.seed, self.step)",
            "config.seed, 0)",
            "test_dropout_differs_by_step_and_is_off_for_scores",
        ),
        ("no clipping", "if self.config.clip:", "if False:", "test_clipping_takes_a_step_of_limited_length"),
    ),
    *bugs_in(
        "parameters.py",
        "test_optimizer.py",
        (
            "biases decayed",
            'in ("weight", "table")',
            'in ("weight", "table", "bias")',
            "test_equals_whole_table_decay_over_two_folds",
        ),
        (
            "gains decayed",
            'in ("weight", "table")',
            'in ("weight", "table", "gain")',
            "test_equals_whole_table_decay_over_two_folds",
        ),
        ("weights not decayed", 'in ("weight", "table")', 'in ("table",)', "test_equals_whole_table_decay_over_two_folds"),
    ),
    *bugs_in(
        "optimizer.py",
        "test_optimizer.py",
        ("tables not decayed", "self.table_scale *= keep", "pass", "test_equals_whole_table_decay_over_two_folds"),
        ("scale ignored by the step", "rate / scale", "rate", "test_equals_whole_table_decay_over_two_folds"),
        (
            "item bias scaled",
            'self.table_scale if kind(name) == "table" else 1.0',
            "self.table_scale",
            "test_equals_whole_table_decay_over_two_folds",
        ),
        ("fold a step early", "if self.step % FOLD == 0:", "if (self.step + 1) % FOLD == 0:", "test_folds_by_step_number"),
        (
            "scale not started again",
            "            self.table_scale = 1.0",
            "            pass",
            "test_equals_whole_table_decay_over_two_folds",
        ),
        (
            "fold of everything",
            'if kind(name) == "table":\n            w *=',
            "if name:\n            w *=",
            "test_equals_whole_table_decay_over_two_folds",
        ),
        ("looking folds", "copy = {name: w.copy() for name, w in params.items()}", "copy = params", "test_folds_by_step_number"),
        ("uphill", "w -= w.dtype.type(rate) * gradient", "w += w.dtype.type(rate) * gradient", "test_one_step_by_hand"),
        (
            "rate by the step alone",
            "config.decay ** (step / total_steps)",
            "config.decay**step",
            "test_rate_falls_by_the_factor_over_the_run",
        ),
        ("clip to the wrong norm", "a.dtype.type(limit / norm)", "a.dtype.type(limit / norm**2)", "test_clip"),
        ("clip always", "if norm > limit:", "if norm > 0:", "test_clip"),
    ),
    *bugs_in(
        "randomness.py",
        "test_randomness.py",
        ("dropout not inverted", "0, 1 / (1 - rate))", "0, 1)", "test_rate_and_values"),
        ("dropout keeps the rate", "uniform < rate", "uniform > rate", "test_rate_and_values"),
        (
            "layers share a mask",
            "(np.uint64(layer) << np.uint64(48))",
            "np.uint64(0)",
            "test_independence_of_steps_layers_seeds_rows_and_columns",
        ),
        (
            "rows shift into each other",
            "(rows << np.uint64(16))",
            "rows",
            "test_independence_of_steps_layers_seeds_rows_and_columns",
        ),
        (
            "steps share a mask",
            'stream(seed, "dropout", step)',
            'stream(seed, "dropout")',
            "test_independence_of_steps_layers_seeds_rows_and_columns",
        ),
        ("hash with another shift", "z >> np.uint64(27)", "z >> np.uint64(28)", "test_mask_against_the_hash_in_plain_integers"),
        (
            "counters of a stream ignored",
            "PURPOSES[purpose], *counters",
            "PURPOSES[purpose]",
            "test_streams_differ_in_every_argument",
        ),
        (
            "two purposes share a number",
            '"evaluation negatives": 3',
            '"evaluation negatives": 2',
            "test_streams_differ_in_every_argument",
        ),
    ),
    *bugs_in(
        "metrics.py",
        "test_metrics.py",
        ("ties count 0", "0.5 * (scores[i] == scores[j])", "0.0", "test_against_the_double_loop_with_ties"),
        (
            "ties count 1",
            "0.5 * (scores[i] == scores[j])",
            "1.0 * (scores[i] == scores[j])",
            "test_against_the_double_loop_with_ties",
        ),
        (
            "NaN wins",
            "(scores[i] > scores[j]) +",
            "1.0 - (scores[i] < scores[j]) - 1.0 * (scores[i] == scores[j]) +",
            "test_not_a_number_loses",
        ),
        ("pooled over users", "return AUC(float(each.mean())", "return AUC(float(wins.mean())", "test_each_user_counts_alike"),
        ("standard error without n - 1", "ddof=1", "ddof=0", "test_standard_error_is_that_of_the_mean_over_users"),
        ("standard error a deviation", " / np.sqrt(S))", ")", "test_standard_error_is_that_of_the_mean_over_users"),
        ("hit at place k", "hit = rank < k", "hit = rank <= k", "test_rank_metrics"),
        ("gain of the place before", "rank + 2.0", "rank + 1.5", "test_rank_metrics"),
    ),
    *bugs_in(
        "datasets/packing.py",
        "test_packing.py",
        (
            "bucketize off by one",
            "np.frexp(units)[1], buckets",
            "np.frexp(units)[1] + 1, buckets",
            "test_buckets_are_bit_lengths",
        ),
        ("a bucket too many", "buckets - 1)", "buckets)", "test_buckets_are_bit_lengths"),
        (
            "buckets by log2",
            "np.frexp(units)[1]",
            "np.floor(np.log2(np.maximum(units, 0.5))) + 1",
            "test_buckets_are_exact_for_long_times",
        ),
        (
            "history includes the target",
            "samples.start - offsets[:-1], length)",
            "samples.start - offsets[:-1] + 1, length)",
            "test_history_does_not_hold_its_target",
        ),
        ("unit of another group", "unit[group]", "unit[0]", "test_pack_by_hand"),
        ("buckets of another group", "buckets[group]", "buckets[0]", "test_pack_by_hand"),
        ("elapsed from zero", " - events.time[rows]", "", "test_shifting_all_times_does_not_matter"),
        ("negatives labelled", "label[:, :positives] = 1", "label[:, positives:] = 1", "test_pack_by_hand"),
    ),
]


def copy_package(folder):
    for name in ("atrank_np", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def run_tests(folder, *tests):
    """pytest in the copy: nothing compiled before, by Python or by numba, is used again."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "COLUMNS": "300",  # else pytest cuts the reason off its summary
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    command += [f"tests/{test}" for test in tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def plant(bug, folder):
    """LookupError if the text does not stand there exactly once."""
    path = folder / "atrank_np" / bug.file
    source = path.read_text()
    if source.count(bug.text) != 1:
        raise LookupError(f"{bug.file} holds this {source.count(bug.text)} times, not once: {bug.text}")
    path.write_text(source.replace(bug.text, bug.replacement))


def verdict(bug):
    """-> "caught", or why not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_package(folder)
        try:
            plant(bug, folder)
        except LookupError as error:
            return f"ERROR: {error}"
        result = run_tests(folder, bug.test)
    if result.returncode == 0:
        return "MISSED"
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    if result.returncode == 1 and any(" - assert" in line.lower() or " - Failed" in line for line in failed):
        return "caught"
    return "MISSED: no assertion failed, but: " + (failed or (result.stdout + result.stderr).splitlines()[-3:])[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", default="", help="only bugs whose name, file or test holds this")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if any(options.k in part for part in (bug.name, bug.file, bug.test))]
    with tempfile.TemporaryDirectory() as name:
        copy_package(Path(name))
        healthy = run_tests(Path(name), *sorted({bug.test for bug in bugs}))
    if healthy.returncode:
        sys.exit(f"the tests fail without any bug:\n{healthy.stdout}{healthy.stderr}")
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for bug, result in zip(bugs, pool.map(verdict, bugs)):
            print(f"{bug.file:26} {bug.name:38} {result}", flush=True)
            missed += result != "caught"
    print(f"{len(bugs) - missed} of {len(bugs)} bugs are caught")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
