"""The simulated shop: its law is a law, the data obey it, and its ceilings are what they claim to be."""

from dataclasses import replace

import numpy as np
import pytest
from logs import SHOP

from atrank_np.datasets import shop, shop_ceiling, shop_world
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError

ITEMS, QUERIES, COUPONS = range(3)
VIEWS = [("items",), ("items", "queries"), ("items", "coupons"), tuple(shop_world.GROUPS)]


@pytest.fixture(scope="module")
def log():
    return read_log(SHOP)


@pytest.fixture(scope="module")
def world(log):
    return shop_ceiling.load_world(SHOP, log)


def moments(log, group):
    """All events of a group: user, time and object row."""
    user = np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
    rows = np.flatnonzero(log.group == group)
    return user[rows], log.time[rows], log.object[rows]


def ceiling_auc(world, log, view, target="items", negatives=20):
    """AUC of the ceiling on the test events, and its standard error."""
    log = replace(log, schema=replace(log.schema, targets=(target,), history=view))
    test = Protocol(log).test
    drawn = Negatives(log).draw(np.random.default_rng(1), test, negatives)
    p = shop_ceiling.ceiling(world, log, test.user, test.time, test.group, np.column_stack([test.object, drawn]))
    each = ((p[:, :1] > p[:, 1:]) + 0.5 * (p[:, :1] == p[:, 1:])).mean(axis=1)
    return each.mean(), each.std(ddof=1) / np.sqrt(len(each))


def random_context(rng, S):
    lead_group = rng.integers(3, size=S)
    sizes = np.array([len(lines) for lines in shop_world.make_world().objects.values()])
    return shop_world.Context(
        last=rng.integers(shop_world.ITEMS, size=S),
        gap=np.where(rng.random(S) < 0.2, shop_world.NEVER, 2 ** rng.integers(24, size=S)),
        lead_group=lead_group,
        lead=rng.integers(sizes[lead_group]),
        lead_age=2 ** rng.integers(20, size=S),
    )


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("group", shop_world.GROUPS)
def test_p_is_a_distribution_in_every_context(world, group, view):
    context = random_context(np.random.default_rng(0), 500)
    objects = np.arange(len(world.objects[group]))
    if set(view) != set(shop_world.GROUPS):  # a hidden group's object is never the visible lead
        context = replace(
            context, lead_group=np.where(np.isin(context.lead_group, [shop_world.CODE[g] for g in view]), context.lead_group, 0)
        )
    p = shop_world.chance(world, group, np.arange(500)[:, None] % shop_world.TASTES, objects[None], context, view)
    assert np.all(p >= 0) and np.allclose(np.broadcast_to(p, (500, len(objects))).sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_predictions_of_real_histories_sum_to_one(world, log, view):
    for group in (ITEMS, QUERIES, COUPONS):
        user, time, _ = (column[::40] for column in moments(log, group))
        p = shop_ceiling.ceiling(world, log, user, time, group, history=view)
        assert np.all(p >= 0) and np.allclose(p.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("group", [ITEMS, QUERIES, COUPONS])
def test_simulated_objects_follow_the_predictions(world, log, group, view):
    """Calibration, in views that hide groups too: the object is among the n likeliest as often as p says, and the mean
    of log p is what p expects. A wrong belief, share or hidden lead moves them apart."""
    user, time, object = (column[::4] for column in moments(log, group))
    p = shop_ceiling.ceiling(world, log, user, time, group, history=view)
    order = np.argsort(-p, axis=1, kind="stable")
    mass = np.take_along_axis(p, order, axis=1).cumsum(axis=1)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(p.shape[1])[None], axis=1)
    rows = np.arange(len(p))
    for n in (1, 4, 16, p.shape[1] // 4, p.shape[1] // 2):
        expected = mass[:, n - 1]
        z = ((place[rows, object - 1] < n) - expected).sum() / np.sqrt((expected * (1 - expected)).sum())
        assert abs(z) < 3.5, (n, z)
    entropy = -(p * np.log(p)).sum(axis=1)
    spread = (p * np.log(p) ** 2).sum(axis=1) - entropy**2
    z = (entropy + np.log(p[rows, object - 1])).sum() / np.sqrt(spread.sum())
    assert abs(z) < 3.5, z


@pytest.mark.parametrize("gap", [3, 200, shop_world.DAY // 2 + 40, shop_world.NEVER])
@pytest.mark.parametrize("view", VIEWS[:-1])
def test_a_hidden_lead_is_summed_out_exactly(world, view, gap):
    """The law of a restricted view is the full law, averaged over every unseen object and every age."""

    def context(g, lead, age):
        return shop_world.Context(*(np.array([value]) for value in (7, gap, g, lead, age)))

    items, taste = np.arange(shop_world.ITEMS), 11
    law = {g: lead.chance * (gap >= lead.since) for g, lead in shop_world.LEADS.items()}
    total = (1 - sum(law.values())) * shop_world.chance(world, "items", taste, items, context(0, 0, 0))
    for g in set(law) - set(view):
        longest = min(gap, shop_world.LEADS[g].reach)  # the age is uniform on 1 … longest - 1, and p is linear in it
        for lead, p in enumerate(world.own[g][taste]):
            ends = [
                shop_world.chance(world, "items", taste, items, context(shop_world.CODE[g], lead, age))
                for age in (1, longest - 1)
            ]
            total += law[g] * p * (ends[0] + ends[1]) / 2
    expected = total / (1 - sum(law[g] for g in law if g in view))
    assert np.allclose(shop_world.chance(world, "items", taste, items, context(0, 0, 0), view), expected, rtol=1e-12)


@pytest.mark.parametrize("first", [ITEMS, QUERIES, COUPONS])
def test_the_ceiling_is_bayes_rule(world, log, first):
    """One user's predictions, written out event by event. The user's first event is of that group."""
    user = int(np.flatnonzero((np.diff(log.offsets) >= 8) & (log.group[log.offsets[:-1]] == first))[0])
    rows, world_row = range(log.offsets[user], log.offsets[user + 1]), log.object - 1
    belief, last, lead = np.full(shop_world.TASTES, 1 / shop_world.TASTES), None, None

    def law(group, time):  # [T, objects]
        p = [0, shop_world.NEVER] if last is None else [world_row[last], time - log.time[last]]
        p += [0, 0, 0] if lead is None else [log.group[lead], world_row[lead], time - log.time[lead]]
        name = tuple(shop_world.GROUPS)[group]
        return shop_world.chance(
            world,
            name,
            np.arange(shop_world.TASTES)[:, None],
            np.arange(len(world.objects[name]))[None],
            shop_world.Context(*(np.array([value]) for value in p)),
        )

    for row in rows:
        p = law(log.group[row], log.time[row])
        predicted = shop_ceiling.ceiling(world, log, [user], [log.time[row]], log.group[row])[0]
        assert np.allclose(predicted, belief @ p, rtol=6e-8, atol=0)  # half a last bit of float32
        belief = belief * p[:, world_row[row]]
        if log.group[row] == ITEMS:
            buy = world.buy[:, world_row[row]]
            belief *= buy if log.actions[log.action[row]] == "buy" else 1 - buy
            last, lead = row, None
        else:
            lead = row
        belief /= belief.sum()


def test_the_first_prediction_of_every_user_is_the_prior(world, log):
    """Nothing is visible yet, and nothing of the user before: with equal chances of all tastes, own[g] is averaged."""
    first = log.offsets[:-1]
    for group, name in enumerate(shop_world.GROUPS):
        p = shop_ceiling.ceiling(world, log, np.arange(len(first)), log.time[first], group, candidates=[1, 2, 7])
        prior = world.own[name].mean(axis=0)[[0, 1, 6]]
        assert np.allclose(p, prior, rtol=1e-6, atol=0)


def test_a_long_history_leaves_a_belief(world, log):
    """All users' events as those of one: log p(events | taste) is far below what exp can hold."""
    E = len(log.time)
    time = shop.START + 600 * np.arange(E)
    joined = replace(log, users=log.users[:1], offsets=np.array([0, E]), time=time)
    p = shop_ceiling.ceiling(world, joined, [0, 0], time[[E // 2, E - 1]] + 300, ITEMS)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("largest", [1, 5_000])
def test_the_arrays_of_chances_are_bounded(world, log, monkeypatch, largest):
    """At most LARGEST numbers at a time, or those of one moment; and not fewer than need be."""
    sizes, chance = [], shop_ceiling.chance
    one = shop_world.TASTES * 8  # numbers of a moment with eight candidates

    def counted(*arguments):
        p = chance(*arguments)
        sizes.append(p.size)
        return p

    user, time, _ = (column[:500] for column in moments(log, ITEMS))
    columns = {name: getattr(log, name)[: log.offsets[9]] for name in ("group", "object", "action", "time")}
    few = replace(log, users=log.users[:9], offsets=log.offsets[:10], **columns)
    kept = user < 9
    whole = shop_ceiling.ceiling(world, few, user[kept], time[kept], ITEMS, candidates=np.arange(1, 9))
    monkeypatch.setattr(shop_ceiling, "chance", counted)
    monkeypatch.setattr(shop_ceiling, "LARGEST", largest)
    parts = shop_ceiling.ceiling(world, few, user[kept], time[kept], ITEMS, candidates=np.arange(1, 9))
    assert np.array_equal(parts, whole)
    assert max(sizes) <= max(largest, one)
    assert max(sizes) > min(max(largest, one), one * kept.sum()) - one


def test_equal_chances_are_ties(world, log):
    """Queries of the same kind are equally likely. The last bits of their sums must not decide which one is ranked first."""
    user, time, _ = (column[::20] for column in moments(log, QUERIES))
    scores = np.sort(shop_ceiling.ceiling(world, log, user, time, QUERIES, history=("queries",)), axis=1).astype(float)
    gap = np.diff(np.log(scores), axis=1)
    assert (gap == 0).mean() > 0.2 and gap[gap > 0].min() > 5e-8


def test_frequencies_agree_with_p_by_chi_square():
    """40,000 draws of one context against its probabilities: within 4 standard deviations of a chi-square's mean."""
    world, S = shop_world.make_world(), 40_000
    context = shop_world.Context(*(np.array([value]) for value in (7, 600, 2, 11, 300)))
    p = shop_world.chance(world, "items", np.array([[3]]), np.arange(shop_world.ITEMS)[None], context)
    drawn = shop._draw(np.repeat(p, S, axis=0), np.random.Generator(np.random.PCG64(5)))
    expected, observed = S * p[0], np.bincount(drawn, minlength=shop_world.ITEMS)
    likely = expected >= 5
    chi2 = ((observed - expected)[likely] ** 2 / expected[likely]).sum()
    assert abs(chi2 - likely.sum()) < 4 * np.sqrt(2 * likely.sum())


def test_a_group_that_is_seen_raises_the_ceiling(world, log):
    auc = {view: ceiling_auc(world, log, view) for view in VIEWS}
    items, queries, coupons, everything = (auc[view][0] for view in VIEWS)
    assert 0.85 < items < min(queries, coupons) and max(queries, coupons) < everything < 0.96
    assert everything - items > 0.03  # the planted influence between groups
    for target in ("queries", "coupons"):
        assert 0.7 < ceiling_auc(world, log, (target,), target)[0] < ceiling_auc(world, log, VIEWS[-1], target)[0]


def test_the_noise_twin_has_the_same_times_and_no_signal(log, world, noise):
    twin = read_log(noise)
    assert np.array_equal(twin.time, log.time) and np.array_equal(twin.group, log.group)
    for view in (VIEWS[0], VIEWS[-1]):
        for scorer in (shop_ceiling.load_world(noise, twin), world):  # its own law, and the law of the shop
            auc, se = ceiling_auc(scorer, twin, view)
            assert abs(auc - 0.5) <= 3 * se
    counts = np.bincount(twin.object[twin.group == ITEMS], minlength=shop_world.ITEMS + 1)[1:]
    expected = counts.mean()
    assert abs(((counts - expected) ** 2 / expected).sum() - shop_world.ITEMS) < 4 * np.sqrt(2 * shop_world.ITEMS)


def test_the_future_is_not_looked_at(world, log):
    """The scores do not change when all events from the moment of ranking on are exchanged."""
    start = log.offsets[:-1]
    user = np.flatnonzero(np.diff(log.offsets) >= 8)[:200]
    row = start[user] + 5
    changed = replace(log, object=log.object.copy(), action=log.action.copy())
    for u, r in zip(user, row):
        later = slice(r, log.offsets[u + 1])
        changed.object[later] = 1 + changed.object[later] % 5
        changed.action[later] = 0
    before, after = (shop_ceiling.ceiling(world, one, user, log.time[row], ITEMS) for one in (log, changed))
    assert np.allclose(before, after, rtol=1e-9, atol=0)
    assert not np.allclose(before, shop_ceiling.ceiling(world, log, user, log.time[row + 2], ITEMS), rtol=1e-3)


def test_hidden_groups_are_not_looked_at(world, log):
    user, time, _ = (column[::20] for column in moments(log, ITEMS))
    changed = replace(log, object=np.where(log.group == ITEMS, log.object, 1 + log.object % 5))
    one, other = (shop_ceiling.ceiling(world, x, user, time, ITEMS, history=("items",)) for x in (log, changed))
    assert np.array_equal(one, other)


def test_a_fresh_query_makes_its_category_likely(world, log):
    user, time, _ = moments(log, QUERIES)
    row = np.searchsorted(
        np.repeat(np.arange(len(log.users)), np.diff(log.offsets)) * shop_world.NEVER + log.time, user * shop_world.NEVER + time
    )
    words = np.array([""] + [line.split(",")[1] for line in world.objects["queries"]])[log.object[row]]
    category = np.array([word.split()[0].rstrip("12") for word in words])
    own = category[:, None] == np.array([line.split(",")[1] for line in world.objects["items"]])[None]
    soon, late = (
        np.where(own, shop_ceiling.ceiling(world, log, user, time + wait, ITEMS), 0).sum(axis=1).mean() for wait in (60, 3 * 3600)
    )
    assert soon > 0.9 and late < soon - 0.15


def test_faults_of_a_world(tmp_path, log, world):
    assert shop_ceiling.load_world(tmp_path, log) is None
    for text in (b"{}", b"\xff"):
        (tmp_path / "world.json").write_bytes(text)
        with pytest.raises(DataError, match="world.json: expected the seed"):
            shop_ceiling.load_world(tmp_path, log)
    with pytest.raises(DataError, match="this shop does not have"):
        mine = replace(log.catalogues["items"], objects=np.array(["unknown", "i0", "mine"]))
        shop_ceiling.load_world(SHOP, replace(log, catalogues={"items": mine}))
    with pytest.raises(DataError, match="this shop does not have"):
        shop_ceiling.ceiling(world, log, [0], [shop.START], ITEMS, candidates=[0])
