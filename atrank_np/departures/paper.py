"""The list of departures from the paper, and of choices that the paper leaves open."""

from typing import NamedTuple


class Departure(NamedTuple):
    """One choice of this project that differs from the paper, or that the paper leaves open."""

    what: str
    paper: str
    here: str
    flag: str  # to choose otherwise; "" if there is none
    effect: str  # on the validation AUC (see the package's docstring)


DEPARTURES = (
    Departure(
        "item bias",
        "f = h · e",
        "plus a number per object, as in the authors' code",
        "--no-item-bias",
        "-0.0020 ± 0.0008 without",
    ),
    Departure(
        "learning rate",
        "1.0",
        "0.5",
        "--learning-rate 1",
        "two seeds diverged (steps 3,249 and 6,047), the third ended at 0.684 with one user vector for all; also "
        "without item bias (`--paper`) a run diverged at step 14,968; with another order of sums it ended at 0.809",
    ),
    Departure(
        "schedule",
        "exponential decay 0.1; over how many steps is not said",
        "to a tenth over the whole run",
        "--schedule step",
        "in one step after two thirds of the run, one seed diverged (step 44,030), one ended at 0.684 with one user vector "
        "for all, one lost 0.0030 ± 0.0013",
    ),
    Departure(
        "epochs",
        "not said",
        "20",
        "--epochs",
        "5: -0.0133 ± 0.0015; 20: +0.0135 ± 0.0017 (0.8308, 0.8378, 0.8286); 32: 0.8379, 0.8396, 0.8342; 40, from 20, "
        "+0.0026 ± 0.0022 (one seed). "
        "From 10 to 20 the shop gains 0.0062 ± 0.0034, JD 0.0088 ± 0.0030; from 20 to 40 the shop loses 0.0071 ± 0.0038. "
        "With 20, L2 of 1e-4 makes -0.0018 ± 0.0017, dropout of 0.2 +0.0003 ± 0.0017 (one seed)",
    ),
    Departure(
        "negatives",
        "not said",
        "one for each positive, drawn again in each epoch",
        "--negatives, --negatives-once",
        "-0.0132 ± 0.0014 if drawn once. Three, in batches of 64, +0.0063 ± 0.0018 (one seed); with 20 epochs +0.0073 ± "
        "0.0014 (0.8411, 0.8421), but a third seed diverged (step 6,792; with clipping at 1 +0.0124 ± 0.0020, 0.8410); "
        "seven, in batches of 128, ended with a model that reads no history (0.680, one seed)",
    ),
    Departure(
        "initial values",
        "not said",
        "matrices 0.088 = 1/√128, tables 0.1, F_vanilla's gain 0.1 (‖e_t‖ about 1)",
        "--dense-init, --table-init, --gain-init",
        "matrices 0.05: -0.0013 ± 0.0008; tables 0.05: +0.0002 ± 0.0009; gain 0.3: -0.0008 ± 0.0009; gain 1 diverged at step 9, "
        "and with rate 0.1 it reached 0.696 after an epoch, the defaults 0.741 (one seed). The attention's W_k 4 times larger: "
        "no gain (0.8092 against 0.8138 after 8 of 10 epochs, one seed; on the shop +0.0035 ± 0.004; 10 times: -0.013 there)",
    ),
    Departure(
        "L2",
        "l2-loss weight 5e-5",
        "λ/2 ‖w‖² over matrices and whole tables, not biases, gains, item bias",
        "--l2",
        "-0.0204 ± 0.0015 at 5e-4, -0.0038 ± 0.0010 at 5e-6",
    ),
    Departure("loss", "a sum", "the mean over a batch's targets", "", "a matter of the learning rate's unit"),
    Departure(
        "batch of 32",
        "what is counted is not said",
        "targets: 16 histories, each with a positive and a negative",
        "--batch-size",
        "-0.0038 ± 0.0011 with 64: 32 positives",
    ),
    Departure(
        "embeddings of features",
        "a query is a bag of words; how numbers are used is not said",
        "a bag is the mean of its rows, zeros if empty; a number is standardised by the training events and clipped at 10 "
        "deviations (0 for all objects if all training events have the same), then x · w + b, as wide as a feature; queries have "
        "no id of their own",
        "schema.toml",
        "not measured",
    ),
    Departure(
        "unknown values and objects",
        "not said",
        "an empty cell is the value `missing`; an object never seen before is row 0, "
        "`unknown`: zeros that are never trained (except the b of a number feature, as where a number is missing)",
        "",
        "not measured",
    ),
    Departure(
        "time and action of a behaviour",
        "the formula adds them to emb(o), a sentence says concatenation",
        "added",
        "--variant time_concat",
        "-0.0027 ± 0.0010 with the time concatenated",
    ),
    Departure(
        "time buckets",
        "[0,1), [1,2), [2,4), …; how many is not said",
        "14 of days, the last one open",
        "buckets, bucket_unit in schema.toml",
        "not measured",
    ),
    Departure("spaces", "of any sizes", "of equal sizes", "", "not measured"),
    Departure("layer norm", "no epsilon", "1e-5 under the root", "", "not measured"),
    Departure(
        "histories of several groups",
        "what counts as earlier is not said",
        "all behaviours that come first by (time, place in the file); n and k count the target group's",
        'history_rule = "before_time" in schema.toml',
        "-0.0425 ± 0.0018 (-0.0402, -0.0444, -0.0428) without the ties: on Beauty 44 % of the reviews are of the day "
        "of the one before",
    ),
    Departure(
        "all2all",
        "one model for all groups",
        "one loss, the mean over the targets of all groups, which batches mix in "
        "proportion; a user's test event of one group stands in their histories of later training targets of another "
        "(in the shop 324 of 457 coupons, 558 of 940 queries)",
        "",
        "training without the samples after a user's first test event, compared with leaving out as many samples at random: "
        "-0.001, -0.001, -0.002 for items, queries, coupons (the shop, three seeds, test events)",
    ),
    Departure("competitors in Table 5", "not said", "one2one", "", "not measured"),
    Departure("the CNN's short histories", "not said", "padded with zeros after the last behaviour", "", "not measured"),
    Departure(
        "Table 4",
        "averages over the whole data set",
        "over spaces, then over all behaviours of a bucket in the histories of training and test; one more row, [128, ∞)",
        "explain --samples",
        "not measured",
    ),
    Departure("dropout", "in F_self and F_vanilla, rate not said", "0", "--dropout", "+0.0009 ± 0.0009 at 0.1"),
    Departure(
        "clipping",
        "none (the authors' code: at norm 5)",
        "none, except for competitors (below)",
        "--clip",
        "-0.0004 ± 0.0008 at 1; with 20 epochs 0.8321, 0.8326, 0.8333 instead of 0.8308, 0.8378, 0.8286, on the test "
        "events +0.0025 ± 0.0009",
    ),
    Departure("time and action of a target", "not said", "elapsed time 0, and the group's target action", "", "not measured"),
    Departure(
        "negatives' objects",
        "not said",
        "never those that the user touches before or later, as in the authors' code; so the model can learn what is never a "
        "negative",
        "",
        "not measured",
    ),
    Departure(
        "explicit negatives",
        "from the log of one scenario; no more is said",
        "objects that were shown since the last positive and that the user never takes; uniform ones where these are too few; "
        "objects shown and not taken are not part of a history",
        "negative_actions in schema.toml",
        "not measured",
    ),
    Departure(
        "repeated targets",
        "not said",
        "dropped: such a positive is too easy to recognise, because it is in the history",
        'target_repeats = "keep" in schema.toml',
        "none on Beauty, which has no repeats; 46.9 % of JD's last events are repeats",
    ),
    Departure("ties in the AUC", "count 0", "count ½", "", "none if all scores differ"),
    Departure(
        "vanilla attention's parameters", "the letters P, Q, θ of the self-attention", "parameters of its own", "", "not measured"
    ),
    Departure(
        "deep f",
        "a more complex network, which is not described",
        "[h, e, h ∘ e] → 128 relu → 1",
        "--ranking deep",
        "-0.0040 ± 0.0012 (test events)",
    ),
    Departure("pair-wise loss", "left out for simplicity", "-log σ(f⁺ - f⁻)", "--loss pair", "-0.0181 ± 0.0014 (test events)"),
    Departure(
        "loss for top-n",
        "point-wise, one negative",
        "the same, for the AUC; a softmax over the positive and 16 hard negatives, drawn from 1,024 objects by their scores, for "
        "the first places of the catalogue",
        "--for top-n",
        "validation NDCG@10 of Beauty (brand included) 0.0724, the default's 0.0511; of JD, with dropout 0.2 and weight decay "
        "0.1, 0.0986, the default's 0.0428. AUC of Beauty 0.8459, the default's 0.8502; of JD 0.9279 and 0.9399 (seed 0)",
    ),
    Departure(
        "order of behaviours",
        "the time bucket alone, so behaviours of one day have no order",
        "the same; for top-n an action has eight embeddings, by the place from the end of the history",
        "--places 8",
        "validation NDCG@10 of top-n: JD 0.0922, 0.0900, 0.0955 without and 0.1004, 0.1059, 0.1012 with it (seeds 0, 1, 2); "
        "Beauty, item and category, 0.0640 and 0.0657 (seed 0). AUC: JD 0.9356, 0.9332, 0.9395 and 0.9356, 0.9356, 0.9289; "
        "Beauty 0.8347 and 0.8329. With the default's loss AUC gains: JD 0.9399, 0.9375 and 0.9438, 0.9428 (seeds 0, 1), Beauty, "
        "brand included, 0.8502 and 0.8528 (seed 0); NDCG@10 of JD 0.0428, 0.0449 and 0.0529, 0.0502, of Beauty (1,000 users) "
        "0.0511 and 0.0397",
    ),
    Departure(
        "optimiser",
        "SGD",
        "SGD; Adam with dropout 0.3 and weight decay 0.2 for top-n",
        "--optimizer adam --learning-rate 1e-3",
        "with dropout 0.2, weight decay 0.1, batches of 128 and 10 epochs: 0.8405 on Beauty (brand included), where SGD has "
        "0.8502 after 20; 0.9361 on JD, where SGD has 0.9399 (validation, seed 0). With tables at ten times the rate Adam needs "
        "20 CPU seconds to 0.82 on Beauty, SGD 64; but it ends at 0.8411. With a softmax of seven negatives too it ends at "
        "0.8508 there, and on JD at 0.9318 and 0.9246, where SGD has 0.9399 and 0.9375 (seeds 0, 1)",
    ),
    Departure(
        "residual around the self-attention",
        "none in (6), C = F_self(concat_k C_k); but the text has the structure from Vaswani et al., whose layers have one",
        "C = F_self(S + concat_k C_k); the authors' code has it around both attentions, with a layer norm",
        "--variant printed, --variant attention_residual",
        "as printed -0.0053 ± 0.0011 (-0.0080, -0.0016, -0.0061). Test AUC after 20 epochs, as printed and with the residual: "
        "Beauty 0.8267 and 0.8331 (three seeds, paired 0.0064 ± 0.0011; with another order of sums 0.8293 and 0.8354), JD 0.9373 "
        "and 0.9435, reviews of 35,598 users 0.8480 and 0.8541, of 14,681 users by object id alone 0.7656 and 0.7738, a shop's "
        "favourites, 37,479 users, 0.7491 and 0.7613. It was tried after a result on "
        "test events: their AUC was higher without self-attention. A layer norm after it (attention_residual) adds 0.0019 on "
        "Beauty and 0.0013 on JD (validation, three seeds), less than two standard errors",
    ),
    Departure(
        "competitors' settings",
        "not said",
        "rate 0.5, 1.0 for BPR-MF; gradients clipped at norm 1, except for BPR-MF",
        "--learning-rate, --clip",
        "With 8 epochs, 10 for BPR-MF: Bi-LSTM 0.8196 with clipping; without it 0.8160 at rate 0.4, 0.8128 at 0.3, and "
        "at 0.5 one seed ended with one user vector for all (0.682). The Bi-LSTM with attention 0.8131, 0.8151; without "
        "clipping 0.8157, 0.8173, but with 20 epochs one of two runs diverged (step 18,109); at rate 0.3 0.8086; L2 5e-4 "
        "0.7821; 5e-6 diverged. CNN, from matrices of 0.03, 0.8181, 0.8202 with clipping; without it 0.8114 at 0.4, "
        "0.8087 at 0.3, at 0.5 0.8156, 0.8205, 0.8196, but two of nine runs diverged; from 0.06 0.8191, from 0.088, as "
        "all models start, 0.8172; ranking the shop's queries or coupons from their own history 0.592 or 0.544 from "
        "0.03, 0.652 or 0.670 from 0.06, 0.737 or 0.687 from 0.088 (20 epochs, three seeds). L2 5e-4 costs BPR-MF 0.076 "
        "± 0.003, the CNN 0.022 ± 0.002, the Bi-LSTM 0.031 ± 0.002; 5e-6 BPR-MF 0.005 ± 0.002, the CNN 0.003 ± 0.002, "
        "the Bi-LSTM 0.002 ± 0.002. The rate in one step: +0.002 ± 0.002 for the Bi-LSTM with attention, +0.000 without, "
        "BPR-MF -0.000, CNN -0.003 ± 0.002. 16 epochs: CNN 0.8354, Bi-LSTM 0.8353; 32: CNN 0.8459 (from 0.03); BPR-MF "
        "with 10, 20, 40 epochs 0.7591, 0.7631, 0.7588 (one seed each)",
    ),
    Departure(
        "history cap",
        "not said",
        "the last 100 behaviours, of all groups together",
        "--cap",
        "1000 on Beauty, where 100 cuts 624 histories: -0.0028 ± 0.0008 (+0.0014, -0.0039, -0.0059); on the Complete "
        "Journey 500 gave all2one 0.764 for campaigns instead of 0.746 (test events, seed 0, ten epochs)",
    ),
)
