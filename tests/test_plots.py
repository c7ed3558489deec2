"""Plots and the page: what they show, and what they say where there is nothing to show."""

from __future__ import annotations

import gc
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from helpers import run as call
from helpers import statuses, wcs_of
from tweakreg.errors import OutputError, ParameterError
from tweakreg.pipeline import save as saving
from tweakreg.records import Pixels
from tweakreg.report import plots
from tweakreg.report.picture import make_picture
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.models import make_models

FIND = {"roundhi": 0.6, "kernel_fwhm": 2.3}


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """A run of five exposures: two good ones, one that is 8 arcsec off, a blank one and one with a single source."""
    scene = make_scene(size=256, n_exposures=5, n_stars=130, extra_errors=((2, 8.0, 0.0, 0.0),), blank=(3,), seed=2)
    models = list(make_models(scene))
    data = models[4].data
    y, x = np.unravel_index(np.argmax(np.where(models[4].dq == 0, data, 0.0)[20:-20, 20:-20]), (216, 216))
    star = data[y + 14 : y + 27, x + 14 : x + 27].copy()
    data[:] = np.random.default_rng(1).normal(np.median(data), 8.0, data.shape)
    data[y + 14 : y + 27, x + 14 : x + 27] = star
    models[0].meta.filename = "<img src=x onerror=alert(1)>&_cal.fits"
    folder = tmp_path_factory.mktemp("hard")
    scene.reference_catalog().write(folder / "refcat.ecsv")
    kept = {}
    save_all = saving.save_all

    def keep(run, directory):
        kept["run"] = run
        return save_all(run, directory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "save_all", keep)
        library = call(
            models, abs_refcat=str(folder / "refcat.ecsv"), save_plots=True, save_report=True, save_matches=True,
            output_dir=str(folder), **FIND,
        )  # fmt: skip
    return folder, library, kept["run"]


@pytest.fixture
def matches():
    """Two hundred stars whose residuals have a slope in x, and two clipped ones."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.0, 2000.0, size=(2, 202))
    east, north = rng.normal(scale=2.0, size=(2, 202))
    table = Table({"x": x, "y": y, "ref_plane_x": 0.03 * x, "ref_plane_y": 0.03 * y})
    table["residual_ra"], table["residual_dec"] = east + 3.0 * (x - 1000.0) / 1000.0, north
    table["mag"], table["clipped"], table["stage"] = rng.uniform(-12, -8, 202), np.arange(202) >= 200, "relative"
    table["residual_ra"][200:] = 90.0
    return table


def words(figure):
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))


def test_residuals_tell_rms_number_and_slope(matches):
    said = words(plots.plot_residuals(matches))
    used = matches[~matches["clipped"]]
    for name in ("residual_ra", "residual_dec"):
        assert f"rms {np.sqrt(np.mean(used[name] ** 2)):.3g} mas, N = 200" in said
    assert "2 clipped" in said
    for label in ("x, pixels", "y, pixels", "residual to the east, mas", "residual to the north, mas"):
        assert label in said
    value, error, _ = plots.slope(np.array(used["x"]), np.array(used["residual_ra"]))
    assert value == pytest.approx(3.0, abs=4.0 * error)
    assert error == pytest.approx(2.0 / np.sqrt(200) / (2.0 / np.sqrt(12.0)), rel=0.15)


def test_a_clipped_star_far_away_does_not_hide_the_others(matches):
    figure = plots.plot_residuals(matches)
    assert figure.axes[0].get_ylim()[1] < 60.0


@given(st.floats(1e-6, 1e6))
def test_round_lengths(length):
    rounded = plots.round_length(length)
    assert rounded <= length * (1.0 + 1e-6) < 2.5 * rounded * (1.0 + 1e-5)
    assert float(f"{rounded:.0e}") == pytest.approx(rounded)
    assert f"{rounded:e}"[0] in "125"


def test_vectors_have_a_scale_with_its_unit(matches):
    axes = plots.plot_vectors(matches)
    (key,) = [artist for artist in axes.get_children() if type(artist).__name__ == "QuiverKey"]
    assert key.text.get_text().endswith(" mas")
    left, right = axes.get_xlim()
    assert left > right, "east is to the left"


def test_every_plot_of_a_hard_run_is_drawn_and_says_what_it_cannot_show(hard):
    folder, library, run = hard
    assert statuses(library) == ["COMPLETE", "COMPLETE", "FAILED", "FAILED", "FAILED"]
    assert len(list(folder.glob("*_relative.png"))) == len(list(folder.glob("*_absolute.png"))) == 5
    assert len(list(folder.glob("*_sky.png"))) == 1
    for number, expected in ((2, "too few matches"), (3, "0 of 15 sources"), (4, "1 of 15 sources")):
        for view in run.images[number].views:
            if view.result.stage.value == "relative":
                assert expected in words(plots.plot_image(view))
    view = next(run.images[4].views)
    assert "1 unmatched" in words(plots.plot_image(view))


def test_plots_show_what_the_table_says(hard):
    folder, _, run = hard
    table = Table.read(folder / f"{run.images[0].name}_matches.ecsv")
    for view in run.images[0].views:
        rows = plots.of_stage(table, view.result.stage.value)
        n_used = int((~rows["clipped"]).sum())
        assert n_used > 15
        said = words(plots.plot_image(view))
        assert f"{n_used} used" in said
        assert f"N = {n_used}" in said
        assert f"{view.result.peak.n_pairs} pairs" in said
    relative = next(run.images[0].views).result
    assert relative.fit.passes[-1] == (relative.fit.n_used, relative.fit.rms)


def test_the_histogram_has_its_peak_where_the_offset_is(hard):
    *_, run = hard
    for view in run.images[0].views:
        peak, shift = view.result.peak, view.result.fit.affine.shift
        size = 2.0 * peak.extent / len(peak.counts)
        highest = np.array(np.unravel_index(np.argmax(peak.counts), peak.counts.shape))
        place = peak.start - peak.extent + (highest + 0.5) * size
        assert np.abs(place - peak.offset).max() <= size + 2.0 * peak.radius
        assert np.abs(peak.offset + shift).max() < peak.radius
        assert peak.counts.max() >= 0.7 * peak.n_pairs


def test_many_images_leave_no_figures_behind(hard, tmp_path):
    from matplotlib.figure import Figure

    *_, run = hard
    view = next(run.images[0].views)
    for number in range(6):
        plots.plot_image(view).savefig(tmp_path / f"{number}.png", dpi=20)
        gc.collect()
    assert sum(isinstance(each, Figure) for each in gc.get_objects()) <= 1


def test_pictures_are_small_and_a_blank_one_is_black():
    mask = np.zeros((900, 500), dtype=bool)
    data = np.random.default_rng(0).normal(10.0, 1.0, mask.shape)
    data[448:453, 100:106] = 500.0
    picture = make_picture(Pixels(data=data, error=None, mask=mask, bounds=None))
    assert picture.values.shape == (300, 167)
    assert picture.shape == (900, 500)
    assert np.unravel_index(np.argmax(picture.values), picture.values.shape)[0] in (149, 150)
    for nothing in (np.full(mask.shape, np.nan), np.zeros(mask.shape)):
        assert not make_picture(Pixels(data=nothing, error=None, mask=mask, bounds=None)).values.any()


def steepest(table):
    """The largest of the four slopes of the residuals over its error; 0 for the reference."""
    used = table[~np.asarray(table["clipped"], dtype=bool)]
    lines = [plots.slope(used[axis], used[name]) for axis in "xy" for name in ("residual_ra", "residual_dec")]
    return max((abs(line[0]) / line[1] for line in lines if line is not None), default=0.0)


def test_general_removes_what_rscale_leaves(catalog_models, tmp_path):
    """Three visits, whose detector has a skew that the files do not know: slopes of the residuals, and the truth."""
    scene = make_scene(
        size=512, pixel_scale=0.05, n_exposures=3, n_visits=3, visit_rolls=(-125.24, -88.60, -31.45), skew=0.02,
        n_stars=800, visit_error=0.05, seed=47,
    )  # fmt: skip
    scene.reference_catalog().write(tmp_path / "refcat.ecsv")
    slopes, errors = {}, {}
    for geometry in ("rscale", "general"):
        library = call(
            catalog_models(scene, tmp_path, noise=0.05), use_custom_catalogs=True, fitgeometry=geometry,
            abs_fitgeometry=geometry, abs_refcat=str(tmp_path / "refcat.ecsv"), save_matches=True,
            output_dir=str(tmp_path / geometry),
        )  # fmt: skip
        errors[geometry] = score(wcs_of(library), scene.truth, 512).absolute
        tables = [Table.read(path) for path in sorted((tmp_path / geometry).glob("*_matches.ecsv"))]
        slopes[geometry] = max(steepest(plots.of_stage(table, "relative")) for table in tables)
    assert slopes["rscale"] > 8.0
    assert slopes["general"] < 0.5
    assert (errors["general"] < 0.5 * errors["rscale"]).all()


def test_plots_do_not_depend_on_a_matplotlibrc_or_on_names(hard, tmp_path):
    """A tight bounding box changes sizes, TeX needs a program, and $ begins a formula."""
    import matplotlib as mpl

    *_, run = hard
    done = run.images[0]
    done = replace(done, record=replace(done.record, name="a$b_x_y$_cal"))
    odd = replace(run, images=(done, *run.images[1:]))
    with mpl.rc_context({"savefig.bbox": "tight", "text.usetex": True, "font.size": 30.0}):
        assert len(saving.save_plots(odd, tmp_path)) == 11
        assert len(saving.save_report(odd, tmp_path)) == 1
        assert mpl.rcParams["text.usetex"]


def test_a_plot_that_fails_takes_nothing_with_it(hard, tmp_path, monkeypatch, caplog):
    *_, run = hard

    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "plot_image", broken)
    written = saving.save_all(run, tmp_path)
    assert [path.suffix for path in written if path.suffix in (".png", ".html")] == [".html"]
    assert "the plots could not be written: no ink" in caplog.text


def test_numbers_of_the_page_are_those_of_the_image(hard):
    """Not those of its group: one detector of many may be the bad one."""
    *_, run = hard
    for each in run.images[:2]:
        for view in each.views:
            used = view.matches[~view.matches["clipped"]]
            if not len(used):
                assert view.own is None
                continue
            length = np.hypot(used["residual_ra"], used["residual_dec"])
            assert view.own == (len(used), pytest.approx(np.sqrt(np.average(length**2, weights=used["weight"]))))


def test_an_image_that_was_left_as_it_is_is_not_drawn_as_moved(hard):
    *_, run = hard
    for outline in run.view.outlines[2:]:
        assert (outline.before == outline.after).all()
    assert np.abs(run.view.outlines[0].after - run.view.outlines[0].before).max() > 0.01


def test_corrections_of_like_named_groups_are_told_apart(hard, tmp_path):
    """x_10 begins as x_1 does and is another group; a b and a-b would have one file name."""
    *_, run = hard
    groups = ["x_10", "x_1", "a b", "a-b"]
    affine = run.alignment.corrections[run.images[0].exposure.group]
    one = run.images[0]
    images = tuple(replace(one, exposure=replace(one.exposure, group=group)) for group in groups)
    alignment = replace(run.alignment, corrections=dict.fromkeys(groups, affine))
    odd = replace(run, name="run", images=images, alignment=alignment)
    names = [path.name for path in saving.save_corrections(odd, tmp_path)]
    assert names == [f"run_{group}_correction.asdf" for group in ("x_10", "x_1", "a-b", "a-b-2")]


def test_two_exposures_of_one_name_do_not_get_one_file(scene, tmp_path):
    twins = list(make_models(scene, pixels=False))[:2]
    for model in twins:
        model.meta.filename = "twin_cal.fits"
    with pytest.raises(OutputError, match="2 exposures have one name, twin_cal: save_plots"):
        call(twins, save_plots=True, output_dir=str(tmp_path))


@pytest.mark.parametrize(("parameter", "module"), [("save_plots", "matplotlib"), ("save_report", "jinja2")])
def test_without_the_extra_the_run_does_not_start(parameter, module, monkeypatch):
    monkeypatch.setattr("tweakreg.parameters.find_spec", lambda name: None if name == module else object())
    with pytest.raises(ParameterError, match=rf"{parameter}.*{module}: pip install 'tweakreg\[plot\]'"):
        call(["there is no such file.fits"], **{parameter: True})


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window and without a network."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on the path")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def page(hard, browser):
    """The page of the hard run, and what went wrong in it."""
    folder, *_ = hard
    troubles = []
    page = browser.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or troubles.append(request.url))
    page.goto(next(folder.glob("*_report.html")).as_uri())
    yield page
    page.close()
    assert troubles == []


def test_the_page_says_what_failed_and_what_to_do(page):
    summary = page.locator("#summary").inner_text()
    assert "too few sources" in summary
    assert "Lower snr_threshold" in summary
    assert page.locator(".badge.FAILED").first.inner_text() == "3 FAILED"
    assert page.locator("#sky img").evaluate("image => image.naturalWidth") > 300


def test_the_page_sorts(page):
    column = page.locator("#images tbody td:nth-child(4)")
    button = page.locator("#images th:nth-child(4) button")
    for order in (1, -1):
        button.click()
        values = column.all_inner_texts()
        known = [int(value) for value in values if value != "–"]
        assert known == sorted(known, key=lambda value: order * value)
        assert values[len(known) :] == ["–"] * (5 - len(known))


def test_a_link_opens_the_plots_of_an_image(page):
    first = page.locator("#plots details[open]").count()  # after those that are open
    details = page.locator(f"#image-{first}")
    assert details.get_attribute("open") is None
    page.locator("#images tbody a").nth(first).click()
    assert details.get_attribute("open") is not None
    images = details.locator("img")
    assert images.count() == 5
    for number in range(5):
        images.nth(number).scroll_into_view_if_needed()
        images.nth(number).evaluate("image => image.decode()")


def test_a_link_opens_the_plots_again(page):
    link, details = page.locator("#images tbody a").nth(0), page.locator("#image-0")
    link.click()
    details.locator("summary").click()
    assert details.get_attribute("open") is None
    link.click()
    assert details.get_attribute("open") is not None


def test_what_asks_to_be_looked_at_comes_first_and_open(page):
    badges = page.locator("#plots details > summary .badge").all_inner_texts()
    assert badges == sorted(badges, key="COMPLETE".__eq__)
    assert page.locator("#plots details[open]").count() == badges.count("FAILED") > 0


def test_all_plots_are_printed(page):
    before = page.locator("#plots details[open]").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#plots details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#plots details[open]").count() == before


def test_names_are_escaped(page):
    assert page.locator("img[src='x']").count() == 0
    assert "<img src=x onerror=alert(1)>&" in page.locator("#images tbody").inner_text()


def test_no_word_is_wider_than_a_telephone(page):
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_the_page_is_dark_where_the_reader_wants_it(page):
    page.emulate_media(color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ground[4:-1].split(",")) < 60
