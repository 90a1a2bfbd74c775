from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from robustdd.errors import UserError
from robustdd.reporting import tables
from robustdd.reporting.differences import comparisons
from robustdd.reporting.grouping import settings
from robustdd.reporting.label_quality import suspect_labels, view_quality
from robustdd.reporting.paper import paper_accuracy
from robustdd.reporting.records import FullAccuracy
from robustdd.reporting.summary import caveats, result_lines
from robustdd.reporting.tabular import Column, Table, decimal, percent, points, text
from tests.support import example_study as example

FULL = FullAccuracy("digits-sym40", (0, 1), (0.86, 0.88), (0.91, 0.93), (7, 6), 397)


def small(value, show=text, numeric=True):
    return Table((Column("name", "title %", show, numeric),), ((value,),))


def rows_of(table):
    return list(csv.DictReader(io.StringIO(table.as_csv())))


def test_rows_that_differ_in_the_seed_alone_are_one_line():
    rows = [example.row("ours", seed, accuracy=(0.9, 0.92)) for seed in (0, 1)] + [example.row("datm")]
    lines = result_lines(rows)
    assert [line.method for line in lines] == ["datm", "ours"]
    assert lines[1].label == "digits-sym40-sgr-ours-ipc1-s*"
    assert lines[1].short_label == "sgr-ours-ipc1-s*"
    assert lines[1].summary.seeds == 2


def test_two_rows_of_one_setting_and_seed_are_refused():
    row = example.row("ours")
    with pytest.raises(UserError, match="one setting with one seed"):
        settings([row, replace(row, row="another")])


def test_other_size_recipe_or_view_is_another_setting():
    row = example.row("sgr")
    others = [
        replace(row, row=f"r{at}", **change) for at, change in enumerate([{"ipc": 10}, {"recipe": "b"}, {"view": "c"}])
    ]
    assert len(settings([row, *others])) == 4


def test_full_comes_first_and_its_best_only_in_its_own_column():
    table = tables.result_table(result_lines([example.row("ours")], [FULL]))
    first, second = rows_of(table)
    assert (first["method"], first["sd_over"], first["ipc"]) == ("full", "training seeds", "")
    assert float(first["accuracy"]) == pytest.approx(0.87)
    assert float(first["best_on_test"]) == pytest.approx(0.92)
    assert second["best_on_test"] == ""
    assert "distillation_seeds" in first and first["distillation_seeds"] == ""


def test_every_network_stands_in_the_nets_table():
    rows = [example.row("datm"), example.row("ours")]
    found = rows_of(tables.nets_table(rows, [FULL]))
    assert len(found) == 12
    one = next(line for line in found if line["row"] == rows[1].row and line["evaluation_seed"] == "3")
    assert float(one["accuracy"]) == pytest.approx(rows[1].accuracy[3], abs=1e-6)


def test_the_papers_value_stands_beside_ours_where_it_has_one():
    row = replace(example.row("ours"), cell="cifar10-sym40", view="cifar10-sym40-sgr", ipc=10)
    assert rows_of(tables.result_table(result_lines([row])))[0]["paper"] == "0.648000"
    assert paper_accuracy("cifar100-sym20", "full", None) == pytest.approx(0.489)
    assert paper_accuracy("cifar10-sym40", "ours", 7) is None
    assert any("quotes the paper" in sentence for sentence in caveats(result_lines([row])))
    oracle = replace(row, method="sgr", view="cifar10-sym40-oracle")
    assert result_lines([oracle])[0].paper is None, "no row of the paper knows the clean labels"
    assert result_lines([replace(oracle, view="cifar10-sym40-sgr")])[0].paper == pytest.approx(0.629)
    assert "paper" not in tables.result_table(result_lines([example.row("ours")])).as_csv()


def test_comparisons_are_the_papers_and_pair_seeds():
    rows = [example.row(method, seed) for method in example.MEANS for seed in (0, 1)]
    found = {(one.first.split("-")[3], one.second.split("-")[3]): one for one in comparisons(rows)}
    assert set(found) == {("ours", "sgr"), ("ours", "datm"), ("sgr", "datm"), ("datm", "selected")}
    assert found["ours", "datm"].difference.degrees == 1


def test_ours_is_compared_with_the_images_it_started_from():
    ours, chosen = example.row("ours"), example.row("selected")
    assert comparisons([ours, replace(chosen, view="another")]) == []
    (one,) = comparisons([ours, replace(chosen, view=ours.view)])
    assert one.first == ours.row and one.second == chosen.row


def test_sgr_on_other_weights_is_compared_with_sgr_on_its_own():
    rows = [example.row("sgr", seed) for seed in (0, 1)]
    cell = rows[0].cell
    rows = [replace(row, view=f"{cell}-sgr") for row in rows]
    others = [
        replace(row, view=f"{cell}-{name}", row=f"{cell}-{name}-{row.row}")
        for name in ("knn", "oracle")
        for row in rows
    ]
    found = comparisons(rows + others)
    assert [one.first.split("-")[2] for one in found] == ["knn", "oracle"]
    assert {one.second for one in found} == {comparisons(rows + others)[0].second}
    assert comparisons(others) == []
    (one,) = comparisons(
        [replace(row, view=row.view.replace("oracle", "ssft"), row=row.row.replace("oracle", "ssft")) for row in others]
    )
    assert ("-knn-" in one.first, "-ssft-" in one.second) == (True, True), "the dynamic score less the static one"
    assert comparisons([rows[0], *(replace(other, recipe="other") for other in others)]) == []


def test_recipes_of_one_method_are_compared_once():
    small = [replace(example.row("datm", seed), recipe="small") for seed in (0, 1)]
    tesla = [replace(row, recipe="tesla", row=row.row.replace("datm", "datm-tesla")) for row in small]
    (one,) = comparisons(small + tesla)
    assert "tesla" in one.first and "tesla" not in one.second and one.difference.degrees == 1
    assert comparisons([*small, *(replace(row, view="another") for row in tesla)]) == []


def test_settings_of_another_recipe_or_without_a_common_seed_are_not_compared():
    datm, sgr = example.row("datm"), example.row("sgr")
    assert comparisons([replace(datm, recipe="other"), sgr]) == []
    assert comparisons([datm, example.row("sgr", seed=1)]) == []


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ({0: 0.95}, "not shown: one seed"),
        ({0: 0.95, 1: 0.80}, "not shown: contains 0"),
        ({0: 0.89, 1: 0.8901}, "not shown: below test-set error"),
        ({0: 0.95, 1: 0.951}, "shown"),
    ],
)
def test_a_verdict_needs_seeds_an_interval_and_more_than_the_test_sets_error(ours, verdict):
    rows = [example.row("datm", seed, accuracy=(0.88,)) for seed in (0, 1)]
    rows += [example.row("sgr", seed, accuracy=(value,)) for seed, value in ours.items()]
    (one,) = [one for one in comparisons(rows) if "sgr" in one.first]
    assert one.verdict == verdict
    assert one.sentence.startswith("sgr-sgr-ipc1-s") and one.sentence.endswith(verdict)


def test_caveats_say_what_the_test_set_cannot_tell_and_what_one_seed_cannot():
    said = " ".join(caveats(result_lines([example.row("ours", accuracy=(0.9, 0.9))])))
    assert "397 test images" in said and "±3.0 points" in said
    assert "over evaluation nets" in said
    two_seeds = [example.row("ours", seed) for seed in (0, 1)]
    told = " ".join(caveats(result_lines(two_seeds)))
    assert "one seed" not in told
    assert "share one draw of the noise" in told and "share one draw of the noise" not in said


def test_quality_counts_subset_and_scores_low_weights():
    frame = example.reliability()
    quality = view_quality("v", frame)
    assert quality.subset_clean_share > quality.clean_share
    assert all(score.auroc > 0.9 for score in quality.scores.values())
    found = rows_of(tables.quality_table([quality]))
    assert [line["weight"] for line in found] == list(quality.scores)
    assert rows_of(tables.subset_table([quality]))[0]["images"] == "400"


def test_quality_without_clean_labels_scores_nothing():
    quality = view_quality("v", example.reliability().drop(columns="is_clean"))
    assert (quality.scores, quality.clean_share) == ({}, None)
    assert tables.quality_table([quality]).rows == ()


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(UserError, match="'variance' is missing"):
        view_quality("v", example.reliability().drop(columns="variance"))
    with pytest.raises(UserError, match="no row"):
        view_quality("v", example.reliability().head(0))


def test_suspects_are_ranked_by_mean_then_static_then_id():
    frame = example.reliability(4)
    frame["mean"], frame["static"] = [0.5, 0.2, 0.2, 0.2], [0.1, 0.3, 0.2, 0.2]
    frame["id"] = ["a", "b", "d", "c"]
    assert [label.id for label in suspect_labels("v", frame)] == ["c", "d", "b", "a"]
    assert [label.rank for label in suspect_labels("v", frame, 2)] == [1, 2]
    unknown = tables.suspect_table(suspect_labels("v", frame.drop(columns="is_clean")))
    assert "is_wrong" not in unknown.as_csv()


@pytest.mark.parametrize(
    ("show", "value", "shown"),
    [
        (percent, 0.9051, "90.5"),
        (percent, None, "\N{EN DASH}"),
        (points, 0.012, "+1.2"),
        (points, -0.012, "\N{MINUS SIGN}1.2"),
        (decimal, 0.5, "0.500"),
        (text, 3, "3"),
    ],
)
def test_values_as_people_read_them(show, value, shown):
    assert small(value, show).shown() == [[shown]]


def test_latex_and_markdown_escape_what_they_must():
    latex = small("a_b & 50 % \\x").as_latex()
    assert r"a\_b \& 50 \% \textbackslash{}x \\" in latex
    assert r"title \% \\" in latex
    assert small(-0.01, points).as_latex().count("$-$1.0") == 1
    assert "a\\|b" in small("a|b", numeric=False).as_markdown()


def test_markdown_aligns_numbers_to_the_right():
    header, rule, body = small(1).as_markdown().splitlines()
    assert rule.endswith("-: |")
    assert len(header) == len(rule) == len(body)


def test_a_row_has_one_value_a_column():
    with pytest.raises(UserError, match="2 values"):
        Table((Column("a", "a"),), (("x", "y"),))


def test_equal_tables_are_equal_bytes_whatever_the_order_of_the_rows():
    rows = [example.row(method) for method in example.MEANS]
    for form in (Table.as_csv, Table.as_markdown, Table.as_latex):
        forwards, backwards = (form(tables.result_table(result_lines(order))) for order in (rows, rows[::-1]))
        assert forwards == backwards
        assert "\r" not in forwards and forwards.endswith("\n")
