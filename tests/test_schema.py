"""The schema: its layout, defaults, round trip, and every fault by its exact text."""

import json

import pytest
from logs import write

from atrank_np.datasets.schema import Feature, Group, Schema
from atrank_np.errors import DataError

FULL = """
targets = ["items"]
history = ["queries", "items"]
history_rule = "before_time"
target_repeats = "keep"
actions = ["show", "click", "search"]

[groups.items]
bucket_unit = "hour"
buckets = 12
target_action = "click"
target_actions = ["click"]
negative_actions = ["show"]
[groups.items.features]
object = "id"
shop = {kind = "categorical", table = "shop", size = 32}
price = {kind = "number", size = 5}

[groups.queries]
bucket_unit = 7
[groups.queries.features]
words = "tokens"
seller = {kind = "categorical", table = "shop", size = 32}
"""

FULL_SCHEMA = Schema(
    groups=(
        Group(
            "items",
            (
                Feature("object", "id", "items.object"),
                Feature("shop", "categorical", "shop", 32),
                Feature("price", "number", "items.price", 5),
            ),
            3600,
            12,
            "click",
            ("click",),
            ("show",),
        ),
        Group("queries", (Feature("words", "tokens", "words"), Feature("seller", "categorical", "shop", 32)), 7),
    ),
    history=("queries", "items"),
    targets=("items",),
    target_repeats="keep",
    history_rule="before_time",
    actions=("show", "click", "search"),
)


def test_full_layout(tmp_path):
    schema = Schema.load(write(tmp_path, schema_toml=FULL))
    assert schema == FULL_SCHEMA
    assert [group.width for group in schema.groups] == [101, 96]


def test_defaults_of_a_short_schema(tmp_path):
    text = '\ufeff[groups.a.features]\nshop = "categorical"\n[groups.b.features]\nshop = "categorical"\nn = "number"\n'
    (tmp_path / "schema.toml").write_bytes(text.replace("\n", "\r\n").encode())
    a = Group("a", (Feature("shop", "categorical", "shop", 64),), 86400, 14, None, (), ())
    b = Group("b", (Feature("shop", "categorical", "shop", 64), Feature("n", "number", "b.n", 64)))
    assert Schema.load(tmp_path) == Schema((a, b), ("a", "b"), ("a", "b"), "drop", "before_event", ())


def test_round_trip_through_json():
    assert Schema.from_dict(json.loads(json.dumps(FULL_SCHEMA.to_dict()))) == FULL_SCHEMA


def test_without_schema_one_group(tmp_path):
    write(tmp_path, events_csv="user,object,time\n", items_csv="category,object\n", other_csv="nonsense\n")
    features = (Feature("category", "categorical", "category"), Feature("object", "id", "items.object"))
    assert Schema.load(tmp_path) == Schema((Group("items", features),), ("items",), ("items",))


def test_without_schema_a_group_per_file(tmp_path):
    write(tmp_path, events_csv="user,group,object,time\n", b_csv="object,shop\n", a_csv="shop,object\n")
    shop = Feature("shop", "categorical", "shop")
    a = Group("a", (shop, Feature("object", "id", "a.object")))
    b = Group("b", (Feature("object", "id", "b.object"), shop))
    assert Schema.load(tmp_path) == Schema((a, b), ("a", "b"), ("a", "b"))


def test_without_schema_and_group_files(tmp_path):
    write(tmp_path, events_csv="user,group,object,time\n")
    with pytest.raises(DataError) as fault:
        Schema.load(tmp_path)
    assert str(fault.value) == f"{tmp_path} (without schema.toml): groups: expected 1 to 127 groups, got 0"


def test_missing_folder(tmp_path):
    with pytest.raises(DataError) as fault:
        Schema.load(tmp_path / "none")
    assert str(fault.value) == f"{tmp_path / 'none'}: expected a folder with events.csv, found none"


def test_one_size_for_all_features():
    sizes = [[f.size for f in group.features] for group in FULL_SCHEMA.choose(size=3).groups]
    assert sizes == [[3, 3, 3], [3, 3]] and FULL_SCHEMA.choose() == FULL_SCHEMA


def test_select_features():
    schema = FULL_SCHEMA.select_features(["words", "shop", "object"])
    assert [[f.name for f in group.features] for group in schema.groups] == [["object", "shop"], ["words"]]
    assert schema.groups[1].unit == 7 and schema.targets == ("items",)


@pytest.mark.parametrize(
    "names, text",
    [
        (["shop", "colour"], "`features`: expected features among object, shop, price, words, seller, got 'colour'"),
        (["shop"], "`features`: expected at least one feature of group 'queries' (words, seller), got none"),
    ],
)
def test_select_features_faults(names, text):
    with pytest.raises(DataError) as fault:
        FULL_SCHEMA.select_features(names)
    assert str(fault.value) == text


NAMES = "expected a list of different names"
SOME = "expected a list of at least one name, all different"
COUNT = "expected a whole number of at least 1 and less than 2^31"
BUCKETS = "schema.toml: groups.items.buckets: expected a whole number from 1 to 52"
FEATURE = "schema.toml: groups.items.features."


@pytest.mark.parametrize(
    "old, new, text",
    [
        (
            "targets",
            "target",
            "schema.toml: target: unknown key, expected one of targets, history, history_rule, "
            "target_repeats, duplicates, actions, groups",
        ),
        (
            "buckets",
            "bukets",
            "schema.toml: groups.items.bukets: unknown key, expected one of bucket_unit, buckets, "
            "target_action, target_actions, negative_actions, features",
        ),
        ("size = 5", "width = 5", FEATURE + "price.width: unknown key, expected one of kind, table, size, separator"),
        ('["items"]', '["itmes"]', "schema.toml: targets: expected groups among items, queries, got 'itmes'"),
        ('["queries", "items"]', '["q"]', "schema.toml: history: expected groups among items, queries, got 'q'"),
        ('["items"]', '"items"', f"schema.toml: targets: {SOME}, got 'items'"),
        ('["items"]', "[]", f"schema.toml: targets: {SOME}, got []"),
        ('["queries", "items"]', '["items", "items"]', f"schema.toml: history: {SOME}, got ['items', 'items']"),
        ('["show", "click", "search"]', "[1]", f"schema.toml: actions: {NAMES}, got [1]"),
        ('"before_time"', '"before"', "schema.toml: history_rule: expected one of before_event, before_time, got 'before'"),
        ('"keep"', "true", "schema.toml: target_repeats: expected one of drop, keep, got True"),
        ("12", "0", f"{BUCKETS}, got 0"),
        ("12", "53", f"{BUCKETS}, got 53"),
        ("12", "true", f"{BUCKETS}, got True"),
        ("size = 5", "size = 2147483648", f"{FEATURE}price.size: {COUNT}, got 2147483648"),
        ("size = 5", "size = 0", f"{FEATURE}price.size: {COUNT}, got 0"),
        ("size = 5", "size = 5.0", f"{FEATURE}price.size: {COUNT}, got 5.0"),
        (
            '"hour"',
            '"week"',
            "schema.toml: groups.items.bucket_unit: expected ticks, at least 1, or one of second, minute, hour, day, got 'week'",
        ),
        (
            "= 7",
            "= 0",
            "schema.toml: groups.queries.bucket_unit: expected ticks, at least 1, or one of second, minute, hour, day, got 0",
        ),
        ('= "click"', '= ["click"]', "schema.toml: groups.items.target_action: expected a name, got ['click']"),
        (
            '["show"]',
            '["show", "click"]',
            "schema.toml: groups.items.negative_actions: expected none of target_actions, got 'click'",
        ),
        (
            'target_action = "click"',
            'target_action = "show"',
            "schema.toml: groups.items.target_action: expected an action of targets, got 'show'",
        ),
        ('"number"', '"numeric"', f"{FEATURE}price.kind: expected one of id, categorical, tokens, number, got 'numeric'"),
        ('kind = "number", ', "", f"{FEATURE}price.kind: expected categorical, tokens or number (id is for 'object'), got None"),
        ('"number"', '"id"', f"{FEATURE}price.kind: expected categorical, tokens or number (id is for 'object'), got 'id'"),
        ('"id"', '"tokens"', f"{FEATURE}object.kind: expected 'id', got 'tokens'"),
        ('"id"', "3", f"{FEATURE}object: expected a table, got 3"),
        (
            '"shop", size = 32}\nprice',
            '"shop", size = 16}\nprice',
            "schema.toml: groups.queries.features.seller.size: expected 16 as elsewhere in table 'shop', got 32",
        ),
        (
            '"number", size = 5',
            '"number", size = 32, table = "shop"',
            f"{FEATURE}price.table: expected a table that no number shares, got 'shop'",
        ),
        (
            '[groups.queries.features]\nwords = "tokens"\nseller = {kind = "categorical", table = "shop", size = 32}',
            "",
            "schema.toml: groups.queries.features: expected at least one feature, got none",
        ),
        (
            "[groups.queries]\nbucket_unit = 7",
            "[groups.queries",
            "schema.toml: Expected ']' at the end of a table declaration (at line 19, column 16)",
        ),
    ],
)
def test_schema_faults(tmp_path, old, new, text):
    assert old in FULL
    with pytest.raises(DataError) as fault:
        Schema.load(write(tmp_path, schema_toml=FULL.replace(old, new, 1)))
    assert str(fault.value) == text


def test_schema_without_groups(tmp_path):
    with pytest.raises(DataError) as fault:
        Schema.load(write(tmp_path, schema_toml=""))
    assert str(fault.value) == "schema.toml: groups: expected 1 to 127 groups, got 0"


def test_as_many_groups_as_a_log_can_number():
    def accepted(count):
        try:
            Schema.from_dict({"groups": {f"g{n}": {"features": {"object": "id"}} for n in range(count)}})
        except DataError as fault:
            return str(fault) != f"schema.toml: groups: expected 1 to 127 groups, got {count}"
        return True

    assert [accepted(count) for count in (0, 1, 127, 128)] == [False, True, True, False]


def test_errors_name_their_source():
    with pytest.raises(DataError, match="^model.npz: grops: unknown key"):
        Schema.from_dict({"grops": {}}, "model.npz")


def test_data_error_is_one_line():
    assert str(DataError("a\nb\r\nc")) == "a b c"
