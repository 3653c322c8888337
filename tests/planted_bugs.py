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


def directions(model, ranking="dot"):
    return f"test_directions_and_entries_of_every_parameter[{model}-{ranking}-{0 if model == 'atrank' else 0.3}-True]"


def entries(variant):
    return f"test_every_entry_of_every_parameter[{variant}]"


DIRECTIONS = directions("atrank")
SHAPES = "test_shapes_and_dtypes"


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
            "test_an_unrelated_segment_does_not_matter[True-atrank]",
        ),
    ),
    *bugs_in(
        "layers/feedforward.py",
        "test_feedforward.py",
        (
            "layer norm without its deviation",
            "dnormed - through_mean - through_deviation",
            "dnormed - through_mean",
            "test_gradients",
        ),
        (
            "layer norm without its mean",
            "dnormed - through_mean - through_deviation",
            "dnormed - through_deviation",
            "test_gradients",
        ),
        ("layer norm's scale lost", "through_deviation) * rstd", "through_deviation)", "test_gradients"),
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
            "test_scores_do_not_depend_on_the_labels",
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
        "layers/ranking.py",
        "test_ranking.py",
        ("targets of a history lost", "np.add.at(dv, history, de)", "dv[history] += de", "test_gradients"),
        (
            "users take turns",
            "np.repeat(np.arange(len(v)), np.diff(target_offsets))",
            "np.arange(target_offsets[-1]) % len(v)",
            "test_broadcast_user_repeats_and_adds_up",
        ),
    ),
    *bugs_in(
        "layers/lstm.py",
        "test_lstm.py",
        ("gates in another order", "i, f, g, o = np.split", "f, i, g, o = np.split", "test_gates_stand_in_their_order"),
        ("candidate by a sigmoid", "np.tanh(g), sigmoid(o)", "sigmoid(g), sigmoid(o)", "test_two_steps_by_hand"),
        ("state not squashed", "squashed = np.tanh(new_c)", "squashed = new_c", "test_literally"),
        ("input gate's gradient lost", "[di * i * (1 - i)", "[0 * di", "test_gradients"),
        ("forget gate's gradient lost", "df * f * (1 - f)", "0 * df", "test_gradients"),
        ("output gate's gradient lost", "do * o * (1 - o)]", "0 * do]", "test_gradients"),
        ("candidate's slope that of a sigmoid", "dg * (1 - g**2)", "dg * g * (1 - g)", "test_gradients"),
        ("gates' gradients in another order", "di, dg, df, dc = dnew_c * g", "df, dg, di, dc = dnew_c * g", "test_gradients"),
        ("forget gate by the new c", "dnew_c * c, dnew_c * f", "dnew_c * np.arctanh(squashed), dnew_c * f", "test_gradients"),
        ("dc without the forget gate", "dnew_c * c, dnew_c * f", "dnew_c * c, dnew_c", "test_gradients"),
        ("dc from the step after lost", "dnew_c = dnew_c + dh * o", "dnew_c = dh * o", "test_gradients"),
        ("c's way through h lost", "dnew_c = dnew_c + dh * o * (1 - squashed**2)", "pass", "test_gradients"),
        ("squashing's slope lost", "dh * o * (1 - squashed**2)", "dh * o", "test_gradients"),
        ("output gate by c", "do = dh * squashed", "do = dh * np.arctanh(squashed)", "test_gradients"),
        ("h not carried on", "inputs[rows] + h @ U", "inputs[rows] + 0 * h @ U", "test_literally"),
        ("c not carried on", "c[: len(rows)]  # histories", "0 * c[: len(rows)]  # histories", "test_two_steps_by_hand"),
        ("h enters as c", "cell_forward(z, c)  # F3", "cell_forward(z, h)  # F3", "test_two_steps_by_hand"),
        ("LSTM's bias lost", "linear_forward(x, W, b)", "linear_forward(x, W, 0 * b)", "test_literally"),
        (
            "LSTM's db lost",
            "linear_backward(dz, linear_cache)",
            "*linear_backward(dz, linear_cache)[:2], 0 * dz[0]",
            "test_gradients",
        ),
        ("dh from the step after lost", "dh[:A] += dy[rows]", "dh[:A] = dy[rows]", "test_gradients"),
        ("only the last state is an output", "dh[:A] += dy[rows]", "dh[:A] += dy[rows] * (A == 1)", "test_gradients"),
        ("dh not handed on", "dh[:A] = dz[rows] @ U.T", "dh[:A] = 0", "test_gradients"),
        ("dU of one step only", "dU += old_h.T", "dU = old_h.T", "test_gradients"),
        (
            "dU of the last step only",
            "dU += old_h.T @ dz[rows]",
            "dU += old_h.T @ dz[rows] * (rows is kept[-1][0])",
            "test_gradients",
        ),
        ("dU by the new h", "dU += old_h.T", "dU += (cell_cache[4] * cell_cache[5]).T", "test_gradients"),
        (
            "direction ignored",
            "offsets[b + 1] - 1 - t if backwards else offsets[b] + t",
            "offsets[b] + t",
            "test_backwards_is_forwards_on_reversed_histories",
        ),
        ("shortest history first", "np.argsort(-length", "np.argsort(length", "test_histories_do_not_affect_each_other"),
        ("a step too many", "order[length[order] > t]", "order[length[order] >= t]", "test_steps_have_no_padding"),
        (
            "ends at the wrong end",
            "y[offsets[some + 1] - 1, :H], y[offsets[some], H:]  # F1",
            "y[offsets[some], :H], y[offsets[some + 1] - 1, H:]  # F1",
            "test_ends_are_the_last_row_forwards_and_the_first_backwards",
        ),
        (
            "an empty history ends as another",
            "H, some = y.shape[1] // 2, np.flatnonzero(np.diff(offsets))",
            "H, some = y.shape[1] // 2, np.arange(len(offsets) - 1)",
            "test_ends_are_the_last_row_forwards_and_the_first_backwards",
        ),
        (
            "gradient of the ends at the wrong end",
            "dy[offsets[some + 1] - 1, :H], dy[offsets[some], H:] = ",
            "dy[offsets[some], :H], dy[offsets[some + 1] - 1, H:] = ",
            "test_gradients",
        ),
        (
            "an empty history's ends leak",
            "dy, H, some = np.zeros(shape, dv.dtype), shape[1] // 2, np.flatnonzero(np.diff(offsets))",
            "dy, H, some = np.zeros(shape, dv.dtype), shape[1] // 2, np.arange(len(offsets) - 1)[::-1]",
            "test_gradients",
        ),
    ),
    *bugs_in(
        "layers/perceptron.py",
        "test_perceptron.py",
        ("db keeps an axis", "db = dy.sum(0)", "db = dy.sum(0, keepdims=True)", SHAPES),
        ("relu in float64", "np.maximum(x, 0)", "np.maximum(x, np.zeros(1))", SHAPES),
        ("relu's gradient in float64", "return dy * (y > 0)", "return dy * np.where(y > 0, 1.0, 0.0)", SHAPES),
    ),
    *bugs_in(
        "layers/embedding.py",
        "test_embedding.py",
        ("a bag too many", "y = np.zeros((len(size),", "y = np.zeros((len(size) + 1,", SHAPES),
        ("bag's gradient in float64", ".astype(table.dtype)[bag]", "[bag]", SHAPES),
        (
            "Rows as a column",
            "np.add.reduceat(values[order], starts, axis=0))",
            "np.add.reduceat(values[order], starts, axis=0)[None])",
            SHAPES,
        ),
        ("ids that repeat", "return sum_rows(ids, weight * dy[bag])", "return Rows(ids, weight * dy[bag])", SHAPES),
        ("a table's shape transposed", "# [V,E], [N] -> [N,E]", "# [E,V], [N] -> [N,E]", SHAPES),
    ),
    *bugs_in(
        "layers/attention.py",
        "test_attention.py",
        ("a query too many", "c = np.zeros_like(query)", "c = np.zeros((len(query) + 1, query.shape[1]), query.dtype)", SHAPES),
        ("attention in float64", "c = np.zeros_like(query)", "c = np.zeros(query.shape)", SHAPES),
        ("dkey in float64", "np.zeros_like(key), np.zeros_like(value)", "np.zeros(key.shape), np.zeros_like(value)", SHAPES),
        ("dW as one matrix", "dW = (dkey.T @ m).reshape(W.shape)", "dW = dkey.T @ m", SHAPES),
    ),
    *bugs_in(
        "layers/feedforward.py",
        "test_feedforward.py",
        ("dgain keeps an axis", "(dy * normed).sum(0)", "(dy * normed).sum(0, keepdims=True)", SHAPES),
        ("layer norm in float64", "rstd = 1 / np.sqrt", "rstd = np.float64(1) / np.sqrt", SHAPES),
    ),
    *bugs_in(
        "layers/ranking.py",
        "test_ranking.py",
        ("scores as a column", "return f[:, 0], DeepCache", "return f, DeepCache", SHAPES),
        ("dot keeps an axis", "f = (h * e).sum(1)", "f = (h * e).sum(1, keepdims=True)", SHAPES),
        ("a user too many", "dv = np.zeros((B, ", "dv = np.zeros((B + 1, ", SHAPES),
        ("point-wise gradient in float64", "/ f.dtype.type(len(f))", "/ np.float64(len(f))", SHAPES),
        ("pair-wise gradient in float64", "df = np.zeros(T, margin.dtype)", "df = np.zeros(T)", SHAPES),
    ),
    *bugs_in(
        "layers/lstm.py",
        "test_lstm.py",
        ("a state too many", "y = np.zeros((len(x), ", "y = np.zeros((len(x) + 1, ", SHAPES),
        ("states in float64", "y = np.zeros((len(x), len(U)), x.dtype)", "y = np.zeros((len(x), len(U)))", SHAPES),
        ("an end too many", "v = np.zeros((len(offsets) - 1, ", "v = np.zeros((len(offsets), ", SHAPES),
        ("gradient of the ends in float64", "np.zeros(shape, dv.dtype)", "np.zeros(shape)", SHAPES),
    ),
    *bugs_in(
        "layers/convolution.py",
        "test_convolution.py",
        ("a pooled row too many", "y, best = np.zeros((len(offsets) - 1, F)", "y, best = np.zeros((len(offsets), F)", SHAPES),
        ("convolution in float64", "F), x.dtype), np.zeros(", "F)), np.zeros(", SHAPES),
        ("the padding's gradient returned", "return dx[:N], dW", "return dx, dW", SHAPES),
        ("dW as one matrix", "dW.reshape(W_shape), db", "dW, db", SHAPES),
    ),
    *bugs_in(
        "layers/convolution.py",
        "test_convolution.py",
        ("a window too few", "length - w + 1, 1), 0)", "length - w, 1), 0)", "test_windows_by_hand"),
        ("short histories without a window", "length - w + 1, 1), 0)", "length - w + 1, 0), 0)", "test_literally"),
        (
            "an empty history has a window",
            "np.where(length > 0, np.maximum(length - w + 1, 1), 0)",
            "np.maximum(length - w + 1, 1)",
            "test_an_empty_history_gives_zeros_and_no_gradient",
        ),
        (
            "windows reach into the next history",
            "np.where(rows < offsets[history + 1][:, None], rows, offsets[-1])",
            "np.minimum(rows, offsets[-1])",
            "test_histories_do_not_affect_each_other",
        ),
        (
            "padded with the last row",
            "rows, offsets[-1])",
            "rows, offsets[-1] - 1)",
            "test_a_short_history_is_padded_with_zeros_at_its_end",
        ),
        ("window turned", "padded[rows].reshape", "padded[rows[:, ::-1]].reshape", "test_values_and_gradients_by_hand"),
        ("convolution's bias lost", "W.reshape(w * D, F), b)", "W.reshape(w * D, F), 0 * b)", "test_literally"),
        ("place counted from the batch's start", "first + z[first:last].argmax(0)", "z[first:last].argmax(0)", "test_literally"),
        (
            "a tie goes to the last",
            "first + z[first:last].argmax(0)",
            "last - 1 - z[first:last][::-1].argmax(0)",
            "test_values_and_gradients_by_hand",
        ),
        ("mean over time", "z[best[h], np.arange(F)]", "z[first:last].mean(0)", "test_literally"),
        ("gradient to the first place", "dz[best[some], np.arange(W_shape[2])]", "dz[place_offsets[some]]", "test_gradients"),
        (
            "gradient to all places",
            "dz[best[some], np.arange(W_shape[2])] = dy[some]",
            "dz[:] = np.repeat(dy, np.diff(place_offsets), axis=0)",
            "test_gradients",
        ),
        (
            "gradient of an empty history to the first place",
            "dz[best[some], np.arange(W_shape[2])] = dy[some]",
            "np.add.at(dz, (best, np.arange(W_shape[2])), dy)",
            "test_an_empty_history_gives_zeros_and_no_gradient",
        ),
        (
            "overlap lost",
            "np.add.at(dx, rows, dlaid_out.reshape(*rows.shape, D))",
            "dx[rows] += dlaid_out.reshape(*rows.shape, D)",
            "test_gradients",
        ),
        (
            "the padding's gradient leaks",
            "return dx[:N], dW",
            "return dx[:N] + dx[N] * (np.arange(N) == N - 1)[:, None], dW",
            "test_gradients",
        ),
    ),
    *bugs_in(
        "models/ranker.py",
        "test_model.py",
        ("h's use in the user vector lost", "dh + dh_user, df", "dh, df", DIRECTIONS),
        ("h's use in the score lost", "dh + dh_user, df", "0 * dh + dh_user, df", DIRECTIONS),
        ("bias gradient's sign", "dh + dh_user, df", "dh + dh_user, -df", DIRECTIONS),
        ("bias lost", "return f + bias, Cache(", "return f, Cache(", "test_scores_are_the_equations_literally"),
        ("score without the user", "dot_forward(h, e)", "dot_forward(h, h)", "test_scores_are_the_equations_literally"),
        ("deep's gradients lost", 'gradients.add_all("", DEEP, own)', "pass", directions("atrank", "deep")),
        (
            "vanilla with the parameters of self",
            'Q_b = (params[f"{layer}.{name}"] for',
            'Q_b = (params[f"self.{name}"] for',
            "test_scores_are_the_equations_literally",
        ),
        ("mask not used", "mask and mask(c.shape, c.dtype)", "None", "test_scores_with_dropout_literally"),
        (
            "the net's gradients lost",
            'gradients.add_all(f"{layer}.", FEED_FORWARD, own)',
            "pass",
            DIRECTIONS,
        ),
    ),
    *bugs_in(
        "models/atrank.py",
        "test_model.py",
        ("S's use as a query lost", "dS_query + dS_memory", "dS_memory", DIRECTIONS),
        ("S's use as memory lost", "dS_query + dS_memory", "dS_query", DIRECTIONS),
        (
            "vanilla attention over S",
            'attend("vanilla", params, h, C,',
            'attend("vanilla", params, h, S,',
            "test_scores_are_the_equations_literally",
        ),
        (
            "one mask for both layers",
            "partial(dropout.mask, layer)",
            "partial(dropout.mask, 0)",
            "test_scores_with_dropout_literally",
        ),
    ),
    *bugs_in(
        "models/bilstm.py",
        "test_model.py",
        ("forget gates start half shut", 'params[f"{direction}.b"][D : 2 * D] = 1', "pass", "test_initialisation_by_kind"),
        ("wrong gates start open", "[D : 2 * D] = 1", "[:D] = 1", "test_initialisation_by_kind"),
        (
            "both directions forwards",
            "lstm_forward(S, W, U, b, offsets, backwards)",
            "lstm_forward(S, W, U, b, offsets, False)",
            "test_scores_are_the_equations_literally",
        ),
        ("one direction's dS lost", "dS = dS + dx", "dS = dx", directions("bilstm")),
        ("directions' gradients swapped", "np.split(dY, 2, axis=1)", "np.split(dY, 2, axis=1)[::-1]", directions("bilstm")),
        (
            "directions' gradients as one",
            'gradients.add_all(f"{direction}.", LSTM, own)',
            'gradients.add_all("forwards.", LSTM, own)',
            directions("bilstm"),
        ),
        ("Bi-LSTM's dS lost", "return dS, 0", "return 0 * dS, 0", directions("bilstm")),
        ("Bi-LSTM's last bias lost", 'params["user.b"])', '0 * params["user.b"])', "test_scores_are_the_equations_literally"),
        (
            "query's gradient lost",
            "bilstm_backward(dY, cache.lstm, gradients), dh",
            "bilstm_backward(dY, cache.lstm, gradients), 0 * dh",
            directions("bilstm_attention"),
        ),
        (
            "gradient not through the LSTM",
            "return bilstm_backward(dY, cache.lstm, gradients), dh",
            "return 0 * bilstm_backward(dY, cache.lstm, gradients), dh",
            directions("bilstm_attention"),
        ),
        ("mask of another layer", "partial(dropout.mask, 1)", "partial(dropout.mask, 0)", "test_scores_with_dropout_literally"),
    ),
    *bugs_in(
        "models/cnn.py",
        "test_model.py",
        ("one window's dS only", "dS = dS + dx", "dS = dx", directions("cnn")),
        ("CNN's dS lost", "return dS, 0", "return 0 * dS, 0", directions("cnn")),
        (
            "windows' gradients swapped",
            "np.split(dfeatures, len(self.windows), axis=1)",
            "np.split(dfeatures, len(self.windows), axis=1)[::-1]",
            directions("cnn"),
        ),
        (
            "windows share a bias",
            'params[f"window{w}.b"]',
            'params["window1.b"]',
            "test_scores_are_the_equations_literally",
        ),
        ("CNN's last bias lost", 'params["user.b"])', '0 * params["user.b"])', "test_scores_are_the_equations_literally"),
    ),
    *bugs_in(
        "models/variants.py",
        "test_variants.py",
        ("key's share of dm lost", "return dx, dm_key + dm_value", "return dx, dm_value", entries("scaled_scores")),
        ("scale lost backward", "perceptron_backward(scale * ds,", "perceptron_backward(ds,", entries("scaled_scores")),
        ("scale of all spaces", "(self.K / self.space.width) ** 0.5", "self.space.width**-0.5", "test_scaled_scores_literally"),
        ("residual's dS lost", "dx + dy if layer", "dx if layer", entries("residual")),
        ("residual in both", 'x + c if layer == "self" else c', "x + c", entries("residual")),
        ("residual's dx lost", "return dx + dsum, dm", "return dx, dm", entries("attention_residual")),
        ("residual lost", "layer_norm_forward(x + c,", "layer_norm_forward(c,", "test_attention_residual_literally"),
        ("full hidden width", "self.space.width // 4)", "self.space.width)", "test_attention_residual_literally"),
        ("F_M for a raw query", "np.zeros_like(dh), dbias", "dh, dbias", entries("raw_query")),
        ("penalty on e twice", "return dh + self.L2 * h,", "return dh + self.L2 * e,", entries("activation_l2")),
        ("buckets left", "np.zeros_like(batch.bucket)", "batch.bucket", "test_no_time_is_one_bucket"),
        ("natural logarithm", "np.log2(1 + elapsed)", "np.log(1 + elapsed)", "test_continuous_time_is_a_time_table_on_a_line"),
        (
            "elapsed without gradient",
            '"wb", number_backward(du, time_cache)',
            '"wb", (0 * du[0], 0 * du[0])',
            entries("continuous_time"),
        ),
        (
            "S without F_self",
            "return x, NoAttentionCache(",
            "return 0 * x, NoAttentionCache(",
            "test_no_self_attention_is_the_feed_forward_net_alone",
        ),
    ),
    *bugs_in(
        "models/bpr_mf.py",
        "test_model.py",
        ("user's and object's gradients swapped", "drow, demb = dot", "demb, drow = dot", directions("bpr_mf")),
        (
            "object's gradient lost",
            "self.space.object_backward(g, demb, object_caches, gradients)",
            "pass",
            directions("bpr_mf"),
        ),
        (
            "bias gradient's sign",
            "lookup_backward(df[places], bias_cache)",
            "lookup_backward(-df[places], bias_cache)",
            directions("bpr_mf"),
        ),
        (
            "scale of users ignored",
            "dot_forward(scale * row",
            "dot_forward(row",
            "test_stored_scale_of_the_tables_does_not_matter",
        ),
        (
            "scale of objects ignored",
            "object_forward(params, g, objects, scale)",
            "object_forward(params, g, objects, dtype.type(1))",
            "test_stored_scale_of_the_tables_does_not_matter",
        ),
        ("bias lost", "f = f + bias", "pass", "test_scores_are_the_equations_literally"),
        (
            "users take turns",
            "np.repeat(batch.user, np.diff(batch.target_offsets))",
            "batch.user[np.arange(len(batch.label)) % len(batch.user)]",
            "test_scores_are_the_equations_literally",
        ),
        ("one user for all", "user[places])", "0 * user[places] + 1)", "test_scores_depend_on_the_user"),
    ),
    *bugs_in(
        "gradcheck/checks.py",
        "test_gradcheck.py",
        ("shapes broadcast", "if analytic.shape != numeric.shape:", "if False:", "test_a_gradient_of_another_shape_is_wrong"),
    ),
    *bugs_in(
        "kernels/convolution.py",
        "test_convolution.py",
        (
            "what is missing is the first row",
            "if first + j < offsets[h + 1] else zeros(x)",
            "if first + j < offsets[h + 1] else x[0]",
            "test_what_is_missing_is_zero_at_the_end",
        ),
        (
            "a tie goes to the last",
            "where_positive(z - y, p - best)",
            "where_positive(z - y + 1e-30, p - best)",
            "test_values_and_gradients_by_hand",
        ),
        ("gradient to the first place", "where_equal(cache.best[h], p,", "where_equal(cache.best[h], 0,", "test_gradients"),
        ("kernel's db lost", "add_rows(dz, d_own.b)  # B2", "pass", "test_gradients"),
        ("overlapping windows overwrite", "= dx[first + j] + load(", "= load(", "test_gradients"),
    ),
    *bugs_in(
        "kernels/cnn.py",
        "test_kernels.py",
        ("dS of the chunk before left", "dS[i] = zeros(dS)", "pass", "test_competitors[cnn-point]"),
        (
            "all windows' features the first's",
            "features[:, mine], dfeatures",
            "features[:, :F], dfeatures",
            "test_competitors[cnn-point]",
        ),
        (
            "gradient of the first window only",
            "in range(len(own.windows)):\n                conv",
            "in range(1):\n                conv",
            "test_competitors[cnn-point]",
        ),
    ),
    *bugs_in(
        "kernels/bpr_mf.py",
        "test_kernels.py",
        (
            "kernel's gradients of user and object swapped",
            "emb[j], user[j] = context.df[t]",
            "user[j], emb[j] = context.df[t]",
            "test_competitors[bpr_mf-point]",
        ),
        ("gradient to another user", "N + t, N + T + t", "N + t, N + T", "test_competitors[bpr_mf-point]"),
        (
            "kernel's number without gradient",
            "dense_backward(groups[g]",
            "dense_backward(groups[users + g]",
            "test_competitors[bpr_mf-point]",
        ),
    ),
    *bugs_in(
        "parameters.py",
        "test_model.py",
        ("unknown row initialised", "params[name][0] = 0", "pass", "test_initialisation_by_kind"),
        ("all gains small", 'gain if name.startswith("vanilla.F.") else 1', "gain", "test_initialisation_by_kind"),
        (
            "seed of the initialisation ignored",
            'stream(seed, "initialisation")',
            'stream(0, "initialisation")',
            "test_initialisation_depends_on_the_seed_alone",
        ),
    ),
    *bugs_in(
        "runs/trained.py",
        "test_checkpoint.py",
        ("users without training drawn", "[untrained] = 0", "[0] = 0", "test_users_without_training_stay_unknown"),
        ("another user stays unknown", "group == g] + 1)", "group == g])", "test_users_without_training_stay_unknown"),
        ("those of another group too", "user[protocol.train.group == g]", "user", "test_users_without_training_stay_unknown"),
    ),
    *bugs_in(
        "evaluation/ranking.py",
        "test_recommend.py",
        ("user not named", "for value in (place, max", "for value in (-1, max", "test_whose_batch_it_is"),
        ("nobody is the first user", "place = -1", "place = 0", "test_whose_batch_it_is"),
    ),
    *bugs_in(
        "evaluation/controls.py",
        "test_evaluate.py",
        ("users not swapped", '("user", "start", "end", "time")', '("start", "end", "time")', "test_swapped_histories"),
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
            "test_a_nan_score_loses",
        ),
        ("pooled over users", "return AUC(float(each.mean())", "return AUC(float(wins.mean())", "test_each_user_counts_the_same"),
        ("standard error without n - 1", "U / (U - 1)", "1.0", "test_standard_error_is_that_of_the_mean_over_users"),
        ("standard error a deviation", "/ len(values))", "/ 1)", "test_standard_error_is_that_of_the_mean_over_users"),
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
            "ranges(samples.start, length)",
            "ranges(samples.start + 1, length)",
            "test_history_does_not_hold_its_target",
        ),
        ("unit of another group", "g in schema.groups])[group]", "g in schema.groups])[0 * group]", "test_pack_by_hand"),
        ("buckets of another group", "buckets[group]", "buckets[0]", "test_pack_by_hand"),
        ("elapsed from zero", " - events.time[rows]", "", "test_shifting_all_times_does_not_matter"),
        ("user's place in the place of his row", "samples.user + 1", "samples.user", "test_pack_by_hand"),
        ("negatives labelled", "label[:, :1] = 1", "label[:, 1:] = 1", "test_pack_by_hand"),
    ),
    *bugs_in(
        "datasets/negatives.py",
        "test_protocol.py",
        (
            "what another user was shown",
            "np.maximum(before, user - 1)",
            "np.maximum(before, user - 2)",
            "test_what_another_user_was_shown_is_not_used",
        ),
    ),
    *bugs_in(
        "datasets/batches.py",
        "test_batches.py",
        (
            "too many histories packed at a time",
            "TOGETHER // self.histories",
            "TOGETHER * self.histories",
            "test_so_many_histories_are_packed_at_a_time[4-4]",
        ),
        ("smaller batch counted whole", "epochs * self.targets", "epochs * self.per_epoch * 8", "test_the_samples_seen"),
    ),
    *bugs_in(
        "datasets/schema.py",
        "test_schema.py",
        ("a group too few", "len(names) <= 127", "len(names) < 127", "test_as_many_groups_as_a_log_can_number"),
        ("a group too many", "len(names) <= 127", "len(names) <= 128", "test_as_many_groups_as_a_log_can_number"),
    ),
    *bugs_in(
        "datasets/shop.py",
        "test_shop.py",
        (
            "only the last block counted",
            "events += len(block[0])",
            "events = len(block[0])",
            "test_the_number_of_events_is_that_of_the_file",
        ),
        ("users of the first block again", "user[order] + first", "user[order]", "test_the_number_of_events_is_that_of_the_file"),
        ("as many short gaps as long ones", "size=B) < 65", "size=B) < 50", "test_the_simulator_by_counting"),
        ("leads older than the item before", "np.minimum(gap, law.reach)", "law.reach", "test_the_simulator_by_counting"),
    ),
    *bugs_in(
        "datasets/shop_ceiling.py",
        "test_shop.py",
        (
            "no item is the first row",
            "np.full(len(log.time) + 1, -1)",
            "np.full(len(log.time) + 1, 0)",
            "test_the_first_prediction_of_every_user_is_the_prior",
        ),
        (
            "belief below what exp can hold",
            "np.exp(belief - belief.max(axis=1, keepdims=True))",
            "np.exp(belief)",
            "test_a_long_history_leaves_a_belief",
        ),
        (
            "a user's first item is not seen",
            'latest["items"][end] >= start',
            'latest["items"][end] > start',
            "test_the_ceiling_is_bayes_rule[0]",
        ),
        (
            "parts without the candidates",
            "TASTES * candidates.shape[1]",
            "TASTES",
            "test_the_arrays_of_chances_are_bounded[5000]",
        ),
        (
            "the user before is seen too",
            "evidence[end] - evidence[log.offsets[user]]",
            "evidence[end]",
            "test_the_first_prediction_of_every_user_is_the_prior",
        ),
    ),
    *bugs_in(
        "kernels/lstm.py",
        "test_lstm.py",
        ("kernel reads forwards", "- 1 - t if backwards else", "- 1 - t if backwards > 1 else", "test_literally"),
        ("kernel's bias lost", "sigmoid(zf + bf)", "sigmoid(zf)", "test_literally"),
        ("kernel's cell not carried on", "new = multiply_add(f, load(old_c, r, p, C), new)", "pass", "test_two_steps_by_hand"),
        ("kernel's dh not handed on", "add_product(dz, own_T.U, before_step(dh, cache, t))", "pass", "test_gradients"),
        ("kernel's dU without a step", "cache.start[min(1, steps)]", "cache.start[min(2, steps)]", "test_gradients"),
        ("kernel's db lost", "add_columns(z, d_own.b)", "pass", "test_gradients"),
        (
            "kernel's end of the wrong row",
            "y.backwards[offsets[b]]  # F1",
            "y.backwards[offsets[b + 1] - 1]  # F1",
            "test_ends_are_the_last_row_forwards_and_the_first_backwards",
        ),
    ),
    *bugs_in(
        "kernels/lstm.py",
        "test_kernels.py",
        ("kernel's dx of one direction", "dx[place[i]] = dx[place[i]] + x[i]", "dx[place[i]] = x[i]", "test_float32[bilstm]"),
    ),
    *bugs_in(
        "kernels/bilstm.py",
        "test_kernels.py",
        ("kernel's directions alike", "offsets, BACKWARDS, B", "offsets, FORWARDS, B", "test_float32[bilstm]"),
        (
            "kernel's memory by its values alone",
            "product(dkey, layer_T.W, dY)",
            "product(dvalue, layer_T.W, dY)",
            "test_float32[bilstm_attention]",
        ),
    ),
    *bugs_in(
        "kernels/ranking.py",
        "test_ranking.py",
        ("kernel's user by one target", "sum = sum + de[t]", "sum = de[t]", "test_broadcast_user_repeats_and_adds_up"),
    ),
    *bugs_in(
        "kernels/feedforward.py",
        "test_feedforward.py",
        ("kernel: layer norm backward without its deviation", " - deviation_road) *", ") *", "test_gradients"),
        ("kernel: layer norm backward without its mean", "(g - mean_road - ", "(g - ", "test_gradients"),
    ),
    *bugs_in(
        "kernels/attention.py",
        "test_attention.py",
        ("kernel: softmax backward without its mean", "da[j] = da[j] - a[j] * mean", "da[j] = da[j]", "test_gradients"),
        ("kernel: a pair's second query lost", "dk = load(dkey, j, p, C) if add else zero", "dk = zero", "test_gradients"),
    ),
    *bugs_in(
        "kernels/attention.py",
        "test_kernels.py",
        ("kernel: odd query's copy counts", "    if odd:\n", "    if False:\n", "test_a_history_without_targets"),
        (
            "kernel: what is not kept is not computed again",
            "if not keep:\n            weights",
            "if False:\n            weights",
            "test_histories_of_any_length[atrank-lengths1]",
        ),
    ),
    *bugs_in(
        "kernels/products.py",
        "test_kernels.py",
        (
            "kernel: product forgets what it adds to",
            'y += x W"""\n    multiply(as_matrix(x), as_matrix(W), as_matrix(y), ADD',
            'y += x W"""\n    multiply(as_matrix(x), as_matrix(W), as_matrix(y), SET',
            "test_products_and_matrices_in_strips",
        ),
        (
            "kernel: rows of a block all the first 128",
            "rows_from(b, first, m)",
            "rows_from(b, 0, m)",
            "test_products_and_matrices_in_strips",
        ),
        (
            "kernel: block not transposed",
            "set_number(B, jj, ii, number(A, ii, jj))",
            "set_number(B, ii, jj, number(A, ii, jj))",
            "test_products_and_matrices_in_strips",
        ),
    ),
    *bugs_in(
        "kernels/embedding.py",
        "test_kernels.py",
        ("kernel: row 0 trains", "if column.codes[p] > 0:", "if column.codes[p] >= 0:", "test_float64[{}]"),
        ("kernel: a bag is a sum", "scale / (last - first)", "scale", "test_float64[{}]"),
        (
            "kernel: rest of a strip lost",
            "while j < len(y):\n        y[j] += a",
            "while j < 0:\n        y[j] += a",
            "test_add_scaled",
        ),
        ("kernel: squares stay", "        store(y, j, 0, splat(y, 0.0, STRIP))\n", "", "test_take_square"),
    ),
    *bugs_in(
        "kernels/step.py",
        "test_kernels.py",
        ("kernel: only the first shard counts", "for s in range(1, shards):", "for s in range(1, 1):", "test_float64[{}]"),
        ("kernel: nothing decays", "keep if piece.kind == DECAYED else 1.0", "1.0", "test_fold_and_the_way_there_and_back"),
        ("kernel: transposes of before the step", "    transpose_all(own.matrices)\n", "", "test_float64[{}]"),
    ),
    *bugs_in(
        "kernels/context.py",
        "test_kernels.py",
        (
            "kernel: workspace grows with pairs",
            "weight=numbers(n + ",
            "weight=numbers(n * n + ",
            "test_workspace_is_linear_in_the_longest_history",
        ),
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
