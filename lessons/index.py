"""The index of the course: equation → forward → backward → kernel → test → lesson, checked so that it cannot rot.

    python -m lessons.index            writes lessons/INDEX.md
    python -m lessons.index --check    exit 1 if that page is out of date, or names something that is not there

The data are ROWS and ERRORS. A name is `file.py::name`, the file in atrank_np/ or, if it is a test, in tests/.
"""

import argparse
import ast
import re
import sys
import textwrap
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import atrank_np.layers
from atrank_np import departures
from lessons.parts import PARTS, parts, routes

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "lessons" / "INDEX.md"
LESSONS = {path.stem[:2]: path for path in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))}


class Row(NamedTuple):
    """equation: its number, or words where it has none; the others are names, several in a string."""

    equation: str
    formula: str
    forward: str
    backward: str
    kernel: str
    tests: str
    lessons: str


EMBEDDING, ATTENTION, FEED_FORWARD = "layers/embedding.py::", "layers/attention.py::", "layers/feedforward.py::"
PERCEPTRON, RANKING, LSTM = "layers/perceptron.py::", "layers/ranking.py::", "layers/lstm.py::"


def pair(file, *names):
    """The names of forward and backward passes in one file."""
    return tuple(" ".join(f"{file}{name}_{way}" for name in names) for way in ("forward", "backward"))


ROWS = (
    Row(
        "samples",
        "$b_1 … b_k$ predict $b_{k+1}$",
        "datasets/protocol.py::Protocol datasets/negatives.py::Negatives.draw",
        "",
        "",
        "test_protocol.py::test_the_protocol test_negatives.py::test_negatives_are_never_touched_and_uniform",
        "01 16",
    ),
    Row(
        "batch",
        "histories packed, not padded",
        "datasets/packing.py::pack",
        "",
        "kernels/workspace.py::number_rows",
        "test_packing.py::test_pack_by_hand",
        "01",
    ),
    Row(
        "$\\mathrm{emb}_i(o)$",
        "one value: a row of a table",
        *pair(EMBEDDING, "lookup"),
        "kernels/embedding.py::embed kernels/embedding.py::scatter",
        "test_embedding.py::test_gradients test_embedding.py::test_lookup_values",
        "03 04",
    ),
    Row(
        "$\\mathrm{emb}_i(o)$",
        "several values: the mean of their rows",
        *pair(EMBEDDING, "bag"),
        "kernels/embedding.py::embed kernels/embedding.py::scatter",
        "test_embedding.py::test_gradients test_embedding.py::test_bag_is_the_mean_of_its_rows",
        "03",
    ),
    Row(
        "$\\mathrm{emb}_i(o)$",
        "a number: $x w + b$",
        *pair(EMBEDDING, "number"),
        "kernels/embedding.py::embed kernels/embedding.py::dense_backward",
        "test_embedding.py::test_gradients test_embedding.py::test_number_values",
        "03",
    ),
    Row(
        "$\\mathrm{bucketize}_i(t)$",
        "$[2^k, 2^{k+1}) \\to k+1$",
        "datasets/packing.py::bucketize",
        "",
        "",
        "test_packing.py::test_buckets_are_bit_lengths",
        "04",
    ),
    Row(
        "$u_{ij}$",
        "$= \\mathrm{emb}_i(o_j) + \\mathrm{lookup}^t_i + \\mathrm{lookup}^a_i$",
        "models/common_space.py::CommonSpace.forward",
        "models/common_space.py::CommonSpace.backward",
        "kernels/workspace.py::common_space kernels/workspace.py::common_space_backward",
        "test_model.py::test_scores_are_the_equations_literally "
        "test_model.py::test_unknown_rows_get_no_gradient test_model.py::test_a_parameter_used_twice_gets_the_sum",
        "05 23",
    ),
    Row(
        "(1)",
        "$S = F_M(u)$, $F(x) = \\mathrm{relu}(x W + b)$",
        *pair(PERCEPTRON, "linear", "relu", "perceptron"),
        "kernels/feedforward.py::project kernels/feedforward.py::project_backward",
        "test_perceptron.py::test_gradients test_perceptron.py::test_perceptron_is_relu_of_xw_plus_b",
        "05",
    ),
    Row(
        "(2)",
        "$S_k = F_{P_k}(S)$, all $K$ at once",
        f"{PERCEPTRON}perceptron_forward {ATTENTION}attention_forward",
        f"{PERCEPTRON}perceptron_backward {ATTENTION}attention_backward",
        "kernels/feedforward.py::project kernels/feedforward.py::project_backward",
        "test_attention.py::test_equations_2_to_5_literally",
        "06 09",
    ),
    Row(
        "(3)",
        "$A_k = \\mathrm{softmax}(\\mathrm{scores})$",
        *pair(ATTENTION, "softmax"),
        "kernels/attention.py::softmax_forward kernels/attention.py::softmax_backward",
        "test_attention.py::test_gradients test_attention.py::test_softmax_literally_shifted_and_without_overflow",
        "07 09",
    ),
    Row(
        "(4)",
        "scores $S_k W_k S^\\top$",
        *pair(ATTENTION, "attention"),
        "kernels/attention.py::scores_forward kernels/attention.py::scores_backward",
        "test_attention.py::test_gradients test_attention.py::test_equations_2_to_5_literally",
        "08 09",
    ),
    Row(
        "(5)",
        "$C_k = A_k F_{Q_k}(S)$",
        *pair(ATTENTION, "attend", "attention"),
        "kernels/attention.py::attend_forward kernels/attention.py::attend_backward",
        "test_attention.py::test_gradients "
        "test_attention.py::test_a_tiny_attention_by_hand test_attention.py::test_weights_can_be_read_and_sum_to_one",
        "09 17 25",
    ),
    Row(
        "LN in (6)",
        "rows to mean 0, variance 1",
        *pair(FEED_FORWARD, "layer_norm"),
        "kernels/feedforward.py::layer_norm_forward kernels/feedforward.py::layer_norm_backward",
        "test_feedforward.py::test_gradients test_feedforward.py::test_layer_norm_literally",
        "10",
    ),
    Row(
        "dropout in (6)",
        "a mask of 0 and $1/(1-p)$",
        "randomness.py::dropout_mask",
        "",
        "kernels/feedforward.py::dropout",
        "test_randomness.py::test_mask_against_the_hash_in_plain_integers",
        "11",
    ),
    Row(
        "(6)",
        "$C = F_{self}(\\mathrm{concat}_k\\, C_k)$",
        *pair(FEED_FORWARD, "feed_forward"),
        "kernels/feedforward.py::feed_forward kernels/feedforward.py::feed_forward_backward",
        "test_feedforward.py::test_gradients test_feedforward.py::test_feed_forward_literally "
        "test_variants.py::test_the_equations_as_printed",
        "11",
    ),
    Row(
        "S in (6)",
        "$F_{self}(S + \\mathrm{concat}_k\\, C_k)$: not printed, a departure",
        "models/atrank.py::ATRank.user_forward",
        "models/atrank.py::ATRank.user_backward",
        "kernels/atrank.py::chunk_step",
        "test_model.py::test_scores_are_the_equations_literally test_variants.py::test_the_equations_as_printed",
        "11 14 25",
    ),
    Row(
        "(7)",
        "$e_t = F_{vanilla}(\\mathrm{concat}_k\\, \\mathrm{att}_k(h_t, C))$",
        f"{ATTENTION}attention_forward {FEED_FORWARD}feed_forward_forward",
        f"{ATTENTION}attention_backward {FEED_FORWARD}feed_forward_backward",
        "kernels/attention.py::attend_forward kernels/attention.py::attend_backward",
        "test_attention.py::test_empty_history_gives_zeros_and_no_gradient test_invariance.py::test_a_target_may_be_given_twice",
        "12",
    ),
    Row(
        "$f(h_t, e_t)$",
        "$h_t \\cdot e_t$",
        *pair(RANKING, "dot"),
        "kernels/ranking.py::dot_forward kernels/ranking.py::dot_backward",
        "test_ranking.py::test_gradients test_ranking.py::test_dot_values",
        "13",
    ),
    Row(
        "$f(h_t, e_t)$",
        "a deep network over $[h, e, h \\circ e]$",
        *pair(RANKING, "deep"),
        "kernels/ranking.py::deep_forward kernels/ranking.py::deep_backward",
        "test_ranking.py::test_gradients test_ranking.py::test_deep_literally",
        "13",
    ),
    Row(
        "(8)",
        "point-wise: $-y \\log \\sigma(f) - (1-y) \\log (1 - \\sigma(f))$",
        *pair(RANKING, "pointwise"),
        "kernels/ranking.py::pointwise",
        "test_ranking.py::test_gradients "
        "test_ranking.py::test_pointwise_is_the_mean_of_equation_8 test_ranking.py::test_losses_start_at_log_2",
        "00 13",
    ),
    Row(
        "pair-wise",
        "$-\\log \\sigma(f^+ - f^-)$",
        *pair(RANKING, "pairwise"),
        "kernels/ranking.py::pairwise",
        "test_ranking.py::test_gradients test_ranking.py::test_pairwise_literally",
        "13 19",
    ),
    Row(
        "softmax",
        "$-\\log \\frac{e^{f^+}}{e^{f^+} + \\sum_j e^{f_j - \\log q_j}}$, over the sampled negatives",
        *pair(RANKING, "softmax_loss"),
        "kernels/ranking.py::softmax_loss",
        "test_ranking.py::test_gradients test_ranking.py::test_softmax_literally "
        "test_ranking.py::test_the_correction_makes_any_draw_as_good_as_a_uniform_one",
        "27",
    ),
    Row(
        "hard negatives",
        "$q = \\mathrm{softmax}(g)$ over a pool, $\\log(m q_j)$",
        "hard_negatives.py::draw",
        "",
        "",
        "test_hard_negatives.py::test_places_are_drawn_by_the_softmax_of_their_scores "
        "test_hard_negatives.py::test_sums_over_what_is_drawn_stand_for_sums_over_the_pool",
        "27",
    ),
    Row(
        "many machines",
        "$g = \\sum_s g_s$, added in the order of the shards $s$, whoever computed them",
        "mpi.py::Ranks.add",
        "",
        "",
        "test_mpi.py::test_exchanges test_mpi.py::test_steps_have_the_same_bits",
        "29",
    ),
    Row(
        "(1) … (8)",
        "the whole model",
        "models/ranker.py::Ranker.forward models/atrank.py::ATRank.user_forward",
        "models/ranker.py::Ranker.backward models/atrank.py::ATRank.user_backward",
        "kernels/atrank.py::chunk_step",
        "test_model.py::test_directions_and_entries_of_every_parameter "
        "test_model.py::test_scores_are_the_equations_literally test_torch.py::test_all_gradients_are_those_of_autograd "
        "test_kernels.py::test_float64",
        "14",
    ),
    Row(
        "start",
        "initial values by kind of parameter",
        "parameters.py::initialise",
        "",
        "",
        "test_model.py::test_initialisation_by_kind",
        "15",
    ),
    Row(
        "descent",
        "$w \\leftarrow (1 - lr\\,\\lambda)\\, w - lr\\, g$",
        "optimizer.py::SGD.apply optimizer.py::learning_rate optimizer.py::unscaled",
        "",
        "kernels/step.py::update",
        "test_optimizer.py::test_one_step_by_hand test_optimizer.py::test_equals_the_formulas_over_two_folds",
        "15",
    ),
    Row(
        "Adam, Adagrad",
        "$w \\leftarrow (1 - lr\\,\\lambda)\\, w - lr\\, \\hat m / (\\sqrt{\\hat v} + \\epsilon)$, by number",
        "optimizer.py::Adaptive.direction optimizer.py::Rule",
        "",
        "kernels/optimizer.py::direction",
        "test_optimizer.py::test_equals_the_formulas_over_two_folds test_optimizer.py::test_equals_pytorch "
        "test_optimizer.py::test_a_row_without_gradient_waits test_kernels.py::test_optimizers",
        "28",
    ),
    Row(
        "clipping",
        "the gradient's norm at most a limit",
        "optimizer.py::clip",
        "",
        "kernels/step.py::gradient_norm",
        "test_optimizer.py::test_clip test_kernels.py::test_competitors",
        "18",
    ),
    Row(
        "tasks",
        "one2one, all2one, all2all",
        "datasets/protocol.py::Protocol datasets/shop_ceiling.py::ceiling",
        "",
        "",
        "test_protocol.py::test_history_groups_and_target_groups "
        "test_shop_ceiling.py::test_a_group_that_is_seen_raises_the_ceiling",
        "24",
    ),
    Row(
        "looking inside",
        "$A_k$, weights of (7), Table 4",
        "evaluation/attention.py::look_inside evaluation/attention.py::attention_by_elapsed",
        "",
        "",
        "test_inside.py::test_weights_are_those_of_the_history test_inside.py::test_table_4_uniform_shares_add_up",
        "25",
    ),
    Row(
        "leaving out",
        "$f(u_1, …, u_n) - f(…, u_{i-1}, u_{i+1}, …)$",
        "evaluation/attention.py::left_out",
        "",
        "",
        "test_inside.py::test_left_out_is_ranking_again_without_it",
        "26",
    ),
    Row(
        "AUC",
        "mean over users of $\\delta(p_{ui} > p_{uj})$, a tie ½",
        "metrics.py::user_auc",
        "",
        "",
        "test_metrics.py::test_against_the_double_loop_with_ties test_metrics.py::test_tiny_values",
        "00 16 22",
    ),
    Row(
        "Table 3",
        "two models: mean of $a_u - b_u$, and its error",
        "evaluation/paired.py::paired_difference",
        "",
        "",
        "test_paired.py::test_paired_by_hand",
        "22",
    ),
    Row(
        "the proof",
        "$(f(x + hv) - f(x - hv)) / 2h$",
        "gradcheck/checks.py::numeric_gradient gradcheck/checks.py::relative_error",
        "",
        "",
        "test_gradcheck.py::test_numeric_gradient_of_a_polynomial test_gradcheck.py::test_error_is_relative_to_the_largest_entry",
        "02",
    ),
    Row(
        "LSTM",
        "$c_t = f \\circ c_{t-1} + i \\circ g$, $h_t = o \\circ \\tanh(c_t)$",
        f"{LSTM}cell_forward {LSTM}lstm_forward",
        f"{LSTM}cell_backward {LSTM}lstm_backward",
        "kernels/lstm.py::lstm_forward kernels/lstm.py::lstm_backward",
        "test_lstm.py::test_gradients test_lstm.py::test_literally test_lstm.py::test_two_steps_by_hand",
        "20",
    ),
    Row(
        "Bi-LSTM",
        "both final states, one vector for all targets",
        f"{LSTM}ends_forward {RANKING}broadcast_user_forward models/bilstm.py::BiLSTM.user_forward",
        f"{LSTM}ends_backward {RANKING}broadcast_user_backward models/bilstm.py::BiLSTM.user_backward",
        "kernels/bilstm.py::chunk_step",
        "test_lstm.py::test_ends_are_the_last_row_forwards_and_the_first_backwards "
        "test_ranking.py::test_broadcast_user_repeats_and_adds_up test_invariance.py::test_order_of_a_history_matters",
        "20",
    ),
    Row(
        "Bi-LSTM",
        "with attention: (7) over its outputs",
        "models/bilstm.py::BiLSTMAttention.user_forward",
        "models/bilstm.py::BiLSTMAttention.user_backward",
        "kernels/bilstm.py::attention_chunk_step",
        "test_model.py::test_scores_are_the_equations_literally",
        "",
    ),
    Row(
        "CNN",
        "$\\max_p \\mathrm{relu}(\\sum_j x_{p+j} W_j + b)$, windows of 1 to 10",
        "layers/convolution.py::convolution_forward models/cnn.py::CNN.user_forward",
        "layers/convolution.py::convolution_backward models/cnn.py::CNN.user_backward",
        "kernels/convolution.py::convolution_forward kernels/convolution.py::convolution_backward",
        "test_convolution.py::test_gradients test_convolution.py::test_literally test_convolution.py::test_windows_by_hand",
        "21",
    ),
    Row(
        "BPR-MF",
        "$u \\cdot \\mathrm{emb}(o)$ + item bias",
        "models/bpr_mf.py::BPRMF.forward",
        "models/bpr_mf.py::BPRMF.backward",
        "kernels/bpr_mf.py::shard_step",
        "test_invariance.py::test_scores_depend_on_the_user test_checkpoint.py::test_users_without_training_stay_unknown",
        "19",
    ),
)


class Fault(NamedTuple):
    """A common error of gradient checks; see: where it is shown."""

    symptom: str
    cause: str
    remedy: str
    see: str


ERRORS = (
    Fault(
        "All entries have the ratio 2",
        "The gradient is added twice (a residual connection, an accumulator that is not emptied), or a square lost its ½.",
        "Count the uses of the array in the forward pass: one summand for each. Ratio ½: one of two equal uses is missing.",
        "02 test_gradcheck.py::test_likely_causes",
    ),
    Fault(
        "All entries have the ratio −1",
        "A sign: the loss is −log σ, and in the pair-wise loss the negative's score stands behind a minus.",
        "Differentiate the line once more, with one number in place of the array.",
        "13 test_ranking.py::test_pairwise_pushes_positives_up_and_negatives_down",
    ),
    Fault(
        "All entries have another common ratio, such as 1/T or D",
        "Mean and sum confused: the losses here are means over targets or pairs, a layer norm takes means over D, a bias "
        "gets the sum over rows.",
        "Look for the ratio among the sizes N, T, D; made-up problems have distinct sizes for this.",
        "10 13 gradcheck/cases.py::layer_cases",
    ),
    Fault(
        "The analytic gradient is 0, the numeric is not",
        "Nothing arrives: a term is missing, or the gradient is never collected under the parameter's name.",
        "Follow the upstream gradient from the loss until it vanishes; assert that every gradient has a norm above 0.",
        "test_model.py::test_directions_and_entries_of_every_parameter",
    ),
    Fault(
        "Both are tiny, yet their relative error is about 1",
        "The true gradient is 0 and you see rounding: softmax under an upstream of ones, the last bias of the deep f under "
        "the pair-wise loss.",
        "Treat two arrays below 1e-10 as zeros, and ask why it is 0.",
        "07 gradcheck/checks.py::relative_error",
    ),
    Fault(
        "It passes with an upstream gradient of ones, and the model learns badly",
        "Ones are blind where sums are kept: a row of softmax always sums to 1, a normalised row to 0.",
        "Draw the upstream gradient at random; for a loss, a random `dloss` too.",
        "02 07 gradcheck/checks.py::check_layer",
    ),
    Fault(
        "A few entries are off by much more than 1e-7, and not with another seed",
        "A relu turns on or off between x − h v and x + h v: there is no derivative to compare with.",
        "Compare the relus' sides at both ends and redraw; never raise the limit.",
        "02 gradcheck/checks.py::Kink test_model.py::test_a_kink_is_detected",
    ),
    Fault(
        "Every error is 1e-3 or above",
        "It runs in float32: f is known to 1e-7 of itself, and 1e-7 / 2h is 5e-3.",
        "Check in float64, from the parameters to the loss; compare float32 with float64 afterwards.",
        "02 test_kernels.py::test_float32",
    ),
    Fault(
        "The error changes with h",
        "It grows when h shrinks: rounding, about 1e-16 / h. It falls to a quarter when h is halved: f bends much, the "
        "difference is wrong by c h². It is halved as well: the difference is one-sided.",
        "Central differences, h = 1e-5; where f bends much, two step lengths together (Richardson).",
        "02 gradcheck/checks.py::compare test_gradcheck.py::test_a_large_curvature_is_not_blamed_on_the_gradient",
    ),
    Fault(
        "The numeric gradient is huge, the same in each call",
        "An array of integers is moved: 1 + 1e-5 and 1 − 1e-5 are stored as 1 and 0.",
        "Give floats; ids, offsets and buckets have no gradient at all.",
        "gradcheck/checks.py::derivative",
    ),
    Fault(
        "The numeric gradient is huge, and another one in each call",
        "The dropout mask or the negatives are drawn anew in every forward pass: each f is another function.",
        "Fix the mask; here it is a function of (seed, step, layer, row, column), the same for both ends.",
        "11 gradcheck/checks.py::check_model",
    ),
    Fault(
        "The first check passes, a second one with the same arrays fails",
        "An array is changed in place: `x += …` in a forward pass, `dy *= …` in a backward pass, or a cache refers to an "
        "array that is overwritten later.",
        "Assert that inputs, upstream gradient and cache are as before.",
        "test_attention.py::test_inputs_unchanged test_invariance.py::test_parameters_and_batch_unchanged",
    ),
    Fault(
        "Every layer passes, a parameter of the whole model fails",
        "It is used twice, and the second gradient replaces the first: F_M serves behaviours and targets, a table may serve "
        "several features, S is query and memory.",
        "Accumulate in one place, and add.",
        "14 models/gradients.py::Gradients test_model.py::test_a_parameter_used_twice_gets_the_sum",
    ),
    Fault(
        "Only some rows of a table are wrong",
        "Rows whose id is repeated: `dtable[ids] += dy` keeps one of the repeats. Row 0 alone: it is `unknown`, which is "
        "never trained, so that its gradient is left out by intent.",
        "Scatter-ADD (`np.add.at`, or sort and sum); leave row 0 out of the comparison and assert that nothing comes for it.",
        "03 layers/embedding.py::sum_rows test_model.py::test_unknown_rows_get_no_gradient",
    ),
    Fault(
        "All tables have one wrong ratio, everything else is right",
        "A table is stored divided by `table_scale` (the L2 trick), but its gradient is by the table that the formula means.",
        "Multiply by the scale, or check at scale 1. L2 itself is in neither the loss nor the check.",
        "15 gradcheck/checks.py::check_model",
    ),
    Fault(
        "A square matrix is wrong, and right when transposed",
        "`x.T @ dy` was meant and `dy.T @ x` written: where sizes are equal no shape tells.",
        "Choose sizes that differ wherever they may; then the wrong product does not even run.",
        "08 gradcheck/checks.py::likely_cause",
    ),
)


@cache
def names_in(path):
    """name or Class.name -> its source text."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    found = {}

    def look(body, prefix=""):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found[prefix + node.name] = textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{node.name}.")

    look(ast.parse(text).body)
    return found


def place(name):
    """file.py::name -> path of the file, the name in it."""
    file, _, inside = name.partition("::")
    return ROOT / ("tests" if file.startswith("test_") else "atrank_np") / file, inside


def title(number):
    """Lesson 07. Softmax and its Jacobian (3) -> the words behind the number."""
    return re.search(r"^# # Lesson \d\d\. (.+)$", LESSONS[number].read_text(encoding="utf-8"), re.M)[1]


def minutes(number):
    """How long a reader needs for a lesson, as its head says."""
    return int(re.search(r"About (\d+) minutes", LESSONS[number].read_text(encoding="utf-8"))[1])


def total(numbers):
    return sum(map(minutes, numbers))


def links(names, between="<br>"):
    """Names as Markdown links; in a table's cell each has its own line."""
    made = []
    for name in names.split():
        if name.isdigit():
            made.append(f"[{name}]({LESSONS[name].name})")
        else:
            path, inside = place(name)
            made.append(f"[`{inside}`](../{path.relative_to(ROOT).as_posix()})")
    return between.join(made)


def letters():
    """(letter, meaning) of the legend in the docstring of atrank_np.layers."""
    legend = [line.strip() for line in atrank_np.layers.__doc__.split("\n\n")[1].splitlines() if line.startswith("    ")]
    cells = [cell for line in legend for cell in re.split(r" {2,}", line)]
    return list(zip(cells[::2], cells[1::2], strict=True))


def table(*columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page():
    """The text of INDEX.md."""
    rows = []
    for row in ROWS:
        equation = row.equation if "$" in row.equation else f"**{row.equation}**"
        cells = map(links, (row.lessons, row.forward, row.backward, row.kernel, row.tests))
        rows.append((f"{equation} {row.formula}", *cells))
    course = [
        (part if number == numbers[0] else "", links(number), title(number), f"{minutes(number)}")
        for part, numbers in parts(LESSONS)
        for number in numbers
    ]
    ways = "\n".join(f"- {wish}: {links(' '.join(way), ' → ')}, {total(way)} minutes" for wish, way in routes(LESSONS))
    faults = "\n".join(
        f"{i}. **{fault.symptom}.** {fault.cause}\n   *What to do:* {fault.remedy} See {links(fault.see, ', ')}."
        for i, fault in enumerate(ERRORS, 1)
    )
    return f"""<!-- Written by `python -m lessons.index`; do not edit. -->
# Index

Every equation of the paper with the lesson that derives it, the function that computes it, the one that differentiates
it, its fast twin, and the tests that prove both. `python -m lessons.index --check` fails if one of them is not there.

{table("equation", "lesson", "forward", "backward", "kernel", "tests", rows=rows)}

The layers' tests also run over the kernels that have a twin of the same shape; the rest of the compiled step is proved by
{links("test_kernels.py::test_float64")}. `python -m atrank_np.gradcheck` prints the error of every gradient.

## The lessons

{table("part", "", "lesson", "minutes", rows=course)}

Shorter routes:

{ways}

Exercises to them: `python -m lessons.exercises`.

## The legend of letters

The same letters name shapes, loops and arrays everywhere; `dx` is the derivative of the loss by `x`.

{table("letter", "meaning", rows=letters())}

{departures.EFFECTS}

{chr(10).join(f"## {title}{chr(10) * 2}{text}{chr(10)}" for title, text in departures.tables().items()).strip()}

## Common errors of gradient checks

From the symptom to its cause and what to do. The ratio is analytic over numeric.

{faults}
"""


def _wrong_names():
    for row in ROWS:
        for name in " ".join((row.forward, row.backward, row.kernel, row.tests)).split():
            path, inside = place(name)
            if inside not in names_in(path):
                yield f"{row.equation}: there is no {name}"
    for name in " ".join([row.lessons for row in ROWS] + [fault.see for fault in ERRORS]).split():
        if name.isdigit() and name not in LESSONS:
            yield f"there is no lesson {name}"
        if not name.isdigit() and place(name)[1] not in names_in(place(name)[0]):
            yield f"common errors: there is no {name}"


def _wrong_links():
    """A named lesson teaches the function, a named test file tests it, and the function says which equation it is."""
    for row in ROWS:
        stems = [re.sub("_forward$", "", place(name)[1].split(".")[0]) for name in row.forward.split()]
        tests = "".join(place(name)[0].read_text(encoding="utf-8") for name in row.tests.split())
        for number in row.lessons.split():
            text = LESSONS[number].read_text(encoding="utf-8")
            if not any(stem in text for stem in stems):
                yield f"{row.equation}: lesson {number} speaks of none of {', '.join(stems)}"
        a_method = "." in row.forward.rpartition("::")[2]  # what it computes is tested through a whole model
        if not a_method and not any(stem in tests for stem in stems):
            yield f"{row.equation}: no test file speaks of {', '.join(stems)}"
        if re.fullmatch(r"\(\d\)", row.equation):
            texts = [names_in(path)[inside] for path, inside in map(place, row.forward.split())]
            if not any(row.equation in text for text in texts):
                yield f"{row.equation}: none of its forward passes names it"


def _missing():
    named = {name for row in ROWS for name in f"{row.forward} {row.backward}".split()}
    for path in sorted((ROOT / "atrank_np" / "layers").glob("*.py")):
        for name in names_in(path):
            if name.endswith(("_forward", "_backward")) and f"layers/{path.name}::{name}" not in named:
                yield f"layers/{path.name}::{name} is not in the index"
    for number in LESSONS.keys() - set(" ".join(row.lessons for row in ROWS).split()):
        yield f"lesson {number} is not in the index"
    for number, times in Counter(" ".join(PARTS.values()).split() + list(LESSONS)).items():
        if times != 2 and number in LESSONS:
            yield f"lesson {number} is not in one part of the course"
    for equation in {f"({i})" for i in range(1, 9)} - {row.equation for row in ROWS}:
        yield f"equation {equation} is not in the index"


def problems():
    """What is wrong with the index, one line each."""
    wrong = list(_wrong_names()) or [*_wrong_links(), *_missing()]
    if not wrong and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()):
        wrong = ["lessons/INDEX.md is out of date: python -m lessons.index"]
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="python -m lessons.index", description="Write lessons/INDEX.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the index is wrong or out of date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    wrong = problems()
    print(*wrong, sep="\n", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
