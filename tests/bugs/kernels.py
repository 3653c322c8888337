"""Planted bugs of the kernels."""

from bugs.bug import bugs_in

BUGS = [
    *bugs_in(
        "kernels/convolution.py",
        "test_convolution.py",
        (
            "what is missing is the first row",
            "if first + j < offsets[h + 1] else zeros(x)",
            "if first + j < offsets[h + 1] else x[0]",
            "test_a_short_history_is_padded_with_zeros_at_its_end",
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
        "kernels/atrank.py",
        "test_kernels.py",
        ("kernel: S in (6) lost", "add(S, own_cache.x)", "pass", "test_float64[{}]"),
        ("kernel: S's gradient by (6) lost", "add(dC, dS)", "pass", "test_float64[{}]"),
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
