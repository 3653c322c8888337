"""Planted bugs of the data sets."""

from bugs.bug import bugs_in

BUGS = [
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
        ("the user's place in place of their row", "samples.user + 1", "samples.user", "test_pack_by_hand"),
        ("negatives labelled", "label[:, :1] = 1", "label[:, 1:] = 1", "test_pack_by_hand"),
    ),
    *bugs_in(
        "datasets/negatives.py",
        "test_protocol.py",
        (
            "what another user was shown",
            "np.maximum(before, user - 1)",
            "np.maximum(before, user - 2)",
            "test_negatives.py::test_what_another_user_was_shown_is_not_used",
        ),
    ),
    *bugs_in(
        "datasets/negatives.py",
        "test_popularity.py",
        (
            "weights of the object before",
            "weights[g][1:]), drawn",
            "weights[g][:-1]), drawn",
            "test_negatives_are_in_proportion_to_their_weights",
        ),
        (
            "weights forgotten at the second draw",
            "value = pot[rng.integers(len(pot), size=len(row)",
            "value = np.unique(pot)[rng.integers(len(set(pot)), size=len(row)",
            "test_negatives_are_in_proportion_to_their_weights",
        ),
        (
            "the correction's sign",
            "np.log(weights[g][drawn[mine]] / ",
            "-np.log(weights[g][drawn[mine]] / ",
            "test_the_correction_by_hand",
        ),
        (
            "the correction counts the unknown object",
            "/ weights[g][1:].mean()",
            "/ weights[g].mean()",
            "test_the_correction_by_hand",
        ),
        ("what was shown corrected", "<= np.arange(drawn.shape[1])", "<= drawn.shape[1]", "test_what_was_shown_is_not_corrected"),
    ),
    *bugs_in(
        "datasets/protocol.py",
        "test_popularity.py",
        (
            "objects without events drawn never",
            "[np.maximum(count, 1) for",
            "[count for",
            "test_a_batch_says_how_its_negatives_were_drawn[popularity]",
        ),
    ),
    *bugs_in(
        "datasets/batches.py",
        "test_popularity.py",
        (
            "the correction a place too early",
            "((0, 0), (1, 0))",
            "((0, 0), (0, 1))",
            "test_a_batch_says_how_its_negatives_were_drawn[popularity]",
        ),
    ),
    *bugs_in(
        "datasets/batches.py",
        "test_epochs.py",
        (
            "every part draws the same",
            "*([part] if part else [])",
            "*[]",
            "test_many_negatives_are_drawn_in_parts",
        ),
        (
            "negatives of others",
            "np.searchsorted(self.sorted, chosen)",
            "np.searchsorted(self.sorted, np.sort(chosen))",
            "test_the_negatives_of_a_batch_are_those_of_its_users",
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
        "datasets/numbering.py",
        "test_tables.py",
        (
            "repeats that are not neighbours stay",
            "by = tied[np.lexsort([found[name][tied] for name in found])]",
            "by = tied",
            "test_oddities.py::test_rows_that_stand_twice",
        ),
        (
            "events of one moment are equal",
            "for column in found.values()]",
            'for column in (found["user"], found["time"])]',
            "test_oddities.py::test_rows_that_stand_twice",
        ),
        (
            "fractions of a second order nothing",
            'np.lexsort((events["time"], *halves))',
            'np.lexsort((np.floor(events["time"]), *halves))',
            "test_forms_of_time[1-decimal]",
        ),
    ),
    *bugs_in(
        "datasets/tables.py",
        "test_reading.py",
        ("a row in the block for one in the file", "table.place(done + first)", "table.place(first)", "test_faults"),
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
            "test_shop_ceiling.py::test_the_first_prediction_of_every_user_is_the_prior",
        ),
        (
            "belief below what exp can hold",
            "np.exp(belief - belief.max(axis=1, keepdims=True))",
            "np.exp(belief)",
            "test_shop_ceiling.py::test_a_long_history_leaves_a_belief",
        ),
        (
            "a user's first item is not seen",
            'latest["items"][end] >= start',
            'latest["items"][end] > start',
            "test_shop_ceiling.py::test_the_ceiling_is_bayes_rule[0]",
        ),
        (
            "parts without the candidates",
            "TASTES * candidates.shape[1]",
            "TASTES",
            "test_shop_ceiling.py::test_the_arrays_of_chances_are_bounded[5000]",
        ),
        (
            "the user before is seen too",
            "evidence[end] - evidence[log.offsets[user]]",
            "evidence[end]",
            "test_shop_ceiling.py::test_the_first_prediction_of_every_user_is_the_prior",
        ),
    ),
    *bugs_in(
        "datasets/parquet.py",
        "test_tables.py",
        (
            "names in the order of the file's dictionary",
            'order = np.argsort(first, kind="stable")',
            "order = np.arange(len(names))",
            "test_parquet",
        ),
        ("names that no row has", "np.count_nonzero(first < len(codes))", "len(names)", "test_parquet"),
    ),
]
