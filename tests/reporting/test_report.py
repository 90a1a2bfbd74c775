from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from robustdd.reporting import diagnostics, figures, pictures
from robustdd.reporting.durations import duration
from robustdd.reporting.page import report_page
from robustdd.reporting.records import CellNoise, Pictures, Provenance, StudyResults
from robustdd.reporting.report import planned_figures, report_files
from robustdd.reporting.style import DARK, LIGHT
from robustdd.reporting.summary import result_lines
from tests.support import example_study as example

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def files():
    return report_files(example.study())


@pytest.fixture(scope="module")
def page():
    return report_page(example.study()).decode()


class Reader(HTMLParser):
    """Collects what a browser would see: tags, addresses and words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.words += data


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_equal_studies_give_equal_bytes_wherever_they_ran(files):
    assert report_files(replace(example.study(), provenance=())) == files


def test_every_table_and_figure_is_there(files):
    row = "digits-sym40-sgr-ours-ipc1-s0"
    expected = {"results.json", "results.csv", "results.md", "results.tex", "nets.csv", "differences.csv"}
    expected |= {"detection.csv", "subsets.csv", "suspects-digits-sym40-sgr.csv", "accuracy.png"}
    expected |= {f"images-{row}.png", "curves-digits-sym40-ipc1.png", "weights-digits-sym40-sgr.png"}
    assert expected | {"transition-digits-sym40.png"} <= set(files)
    assert all(content.startswith(PNG) for name, content in files.items() if name.endswith(".png"))
    assert not any("/" in name for name in files)


def test_a_study_without_anything_but_accuracies_has_tables_and_one_figure():
    files = report_files(StudyResults("bare", (example.row("ours"),)))
    assert set(files) == {"results.json", "results.csv", "results.md", "results.tex", "nets.csv", "accuracy.png"}


def test_png_says_nothing_of_the_software_that_made_it(files):
    assert b"Software" not in files["accuracy.png"]
    assert b"atplotlib" not in files["accuracy.png"]


def test_a_users_matplotlibrc_changes_nothing(files):
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        drawn = figures.accuracy_by_row(result_lines(example.study().rows, example.study().full))
    assert drawn == files["accuracy.png"]


def test_the_sweep_figure_needs_three_sizes():
    def names(sizes):
        rows = tuple(example.row(method, ipc=ipc) for ipc in sizes for method in ("datm", "ours"))
        study = StudyResults("sweep", rows)
        return [figure.name for figure in planned_figures(study, result_lines(rows))]

    assert names((1, 10)) == ["accuracy"]
    assert names((1, 10, 50)) == ["accuracy", "accuracy-by-ipc"]


def test_both_themes_of_every_figure_are_drawn():
    rows = tuple(example.row(method, ipc=ipc) for ipc in (1, 10, 50) for method in ("datm", "ours"))
    lines = result_lines(rows, example.study().full)
    asymmetric = CellNoise(torch.eye(20), tuple(map(str, range(20))))
    unknown = example.reliability().drop(columns="is_clean")
    for draw in (
        lambda theme: figures.accuracy_by_ipc(lines, theme),
        lambda theme: diagnostics.transition_figure(asymmetric, theme),
        lambda theme: diagnostics.weight_histograms("v", unknown, theme),
    ):
        light, dark = draw(LIGHT), draw(DARK)
        assert light.startswith(PNG) and dark.startswith(PNG) and light != dark


def test_running_median_keeps_the_length_and_drops_a_spike():
    values = np.ones(40)
    values[20] = 9
    smooth = diagnostics.running_median(values)
    assert smooth.shape == values.shape
    assert smooth.max() == 1
    assert diagnostics.running_median(np.array([])).shape == (0,)


def test_a_grid_shows_each_pixel_as_a_square_and_one_column_a_class():
    images = torch.linspace(-0.5, 1.5, 3 * 2 * 4).reshape(6, 1, 2, 2)  # 3 classes, 2 images each
    sheet = pictures.grid(images, 3)
    factor = pictures.WIDTH // 10
    small = sheet[::factor, ::factor]
    assert small.shape == (7, 10, 4)
    assert np.array_equal(small.repeat(factor, 0).repeat(factor, 1), sheet)
    shown = (images.clamp(0, 1) * 255).round().to(torch.uint8).reshape(3, 2, 2, 2).numpy()
    for column in range(3):
        for row in range(2):
            cell = small[1 + 3 * row : 3 + 3 * row, 1 + 3 * column : 3 + 3 * column]
            assert np.array_equal(cell[..., 0], shown[column, row])
            assert (cell[..., 3] == 255).all()
    assert (small[0, :, 3] == 0).all()


def test_a_set_that_was_not_optimised_is_shown_once():
    same = example.pictures()
    alone = pictures.before_after(Pictures(same.before, same.before, same.class_names))
    assert len(alone) < len(pictures.before_after(same))
    assert pictures.picture(same.after, same.class_names).startswith(PNG)


def test_the_page_needs_nothing_from_anywhere(page):
    seen = read(page)
    assert seen.addresses and all(re.match(r"#|data:image/png;base64,", address) for address in seen.addresses)
    assert "script" not in seen.tags and "link" not in seen.tags
    assert "http" not in re.sub(r"data:[^\"]*", "", page) and "@import" not in page and "url(" not in page
    assert {address[1:] for address in seen.addresses if address.startswith("#")} <= set(seen.ids)


def test_the_page_tells_everything(page):
    words = read(page).words
    for told in (
        "What it means",
        "397 test images",
        "not shown: one seed",
        "before and after",
        "AUROC",
        "num_teachers",
        "e34012377aa0",
        "1 h 02 min",
        "torch 2.13.0",
        "digits/",
    ):
        assert told in words, told


def test_the_page_has_a_light_and_a_dark_picture_of_every_figure(page):
    tags = read(page).tags
    study = example.study()
    count = len(list(planned_figures(study, result_lines(study.rows, study.full))))
    assert tags.count("img") == tags.count("source") == count


def test_a_page_of_accuracies_alone_has_no_empty_section():
    page = report_page(StudyResults("bare", (example.row("ours"),))).decode()
    assert {"results", "meaning"} == set(read(page).ids)


def test_names_cannot_write_into_the_page():
    hostile = "<script>alert(1)</script>"
    run = Provenance("images", hostile, "abc", hostile, 1, {}, 1.0, "2026")
    page = report_page(StudyResults(hostile, (example.row("ours"),), provenance=(run,), settings={"a": {hostile: 1}}))
    assert b"<script" not in page
    assert page.count(b"&lt;script&gt;") >= 4


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
