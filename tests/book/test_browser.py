"""A rendered page in a browser without network: all is drawn, nothing is requested."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import altair as alt
import browser as pages
import pytest
import small_book
from selenium.webdriver import ActionChains

from birdiedna.figures import show
from book._ext import __main__, assets, build, layout, pdf

EXPLORABLES = """
Play with {numref}`fig-power`.

:::{explore} power
:name: fig-power
A caption with a word of *weight*.
:::

:::{explore} playground
:::

:::{admonition} What is *folded*
:class: dropdown
(deep)=
A sentence in a fold.
:::
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with a formula, a chart with a control, a table of words too wide for a phone."""
    glue = "show.number('loss', 1.5, '.2f')"
    title = small_book.OPENING + EXPLORABLES
    text = small_book.chapter(small_book.FIGURE, small_book.TABLE, glue, title=title)
    book = small_book.make(tmp_path_factory.mktemp("book"), {"01_figures": text})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BIRDIEDNA_RUNS", raising=False)
        build.run_book(build.Order(), book)
        __main__.render(build.Order(), book)
    return book.root / "_build" / "html" / "book" / "01_figures.html"


@pytest.fixture
def view(browser, page):
    pages.opened(browser, page)
    return browser


def test_charts_and_formulas_are_drawn_without_a_request_or_an_error(view):
    assert pages.requests(view) == pages.errors(view) == []
    assert pages.count(view, ".birdie-chart svg.marks") == 1
    assert pages.count(view, "math mi") >= 2
    assert pages.count(view, ".birdie-chart-error") == 0


def test_scripts_are_light_and_every_icon_is_drawn(view):
    sources = view.execute_script("return [...document.scripts].map(s => s.src).filter(Boolean)")
    files = [Path(urlsplit(source).path) for source in sources]
    assert sum(file.stat().st_size for file in files) <= 1.5e6
    assert pages.count(view, "svg.svg-inline--fa > path") >= 5
    assert (
        pages.count(view, "svg.svg-inline--fa > g") == 0
    )  # what stands for an icon that is missing


def test_texts_of_charts_have_a_font_of_the_same_width_on_every_system(view):
    fonts = view.execute_script(
        "return [...document.querySelectorAll('svg.marks text')]"
        ".map(text => getComputedStyle(text).fontFamily)"
    )
    assert {*fonts} == {"Arial, sans-serif"}


def test_a_page_with_a_foreign_script_would_be_noticed(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<script src="https://cdn.example.org/x.js"></script>')
    pages.opened(browser, bad)
    assert pages.requests(browser) == ["https://cdn.example.org/x.js"]
    assert pages.errors(browser)


def test_a_broken_chart_says_so_on_the_page(view):
    view.execute_script(
        "document.querySelector('.birdie-chart').id = 'x';"
        "window.vegaEmbed(document.getElementById('x'), {mark: 'no such mark'})"
        ".catch(e => window.refused = true)"
    )
    pages.until(lambda: view.execute_script("return window.refused"), "vega refuses the chart")


def alone(folder, name, replaced=""):
    """A page with one chart and no bundle, as a notebook outside the book shows it."""
    spec = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a"}}}
    text = show.chart_html("fig-alone", spec)
    page = folder / name
    page.write_text(text.replace("https://cdn.jsdelivr.net/npm/", replaced) if replaced else text)
    return page


def test_outside_the_book_a_chart_without_network_says_what_is_missing(browser, tmp_path):
    pages.opened(browser, alone(tmp_path, "offline.html"))
    said = browser.find_element("css selector", ".birdie-chart-error").text
    assert said.startswith("This chart could not be drawn: cannot load vega@")


def test_outside_the_book_a_chart_loads_its_libraries_once(browser, tmp_path):
    (tmp_path / f"vega@{alt.VEGA_VERSION}").write_text(assets.vega_bundle())
    for name in (f"vega-lite@{alt.VEGALITE_VERSION}", f"vega-embed@{alt.VEGAEMBED_VERSION}"):
        (tmp_path / name).write_text("window.loaded = (window.loaded || 0) + 1;")
    page = alone(tmp_path, "online.html", "./")
    page.write_text(page.read_text() + page.read_text().replace("fig-alone", "fig-again"))
    pages.opened(browser, page)
    assert pages.count(browser, "svg.marks") == 2
    assert browser.execute_script("return window.loaded") == 2


def test_altairs_own_output_finds_the_bundle(browser, tmp_path):
    (tmp_path / assets.VEGA).write_text(assets.vega_bundle())
    chart = alt.Chart(alt.Data(values=[{"a": 1}])).mark_point().encode(x="a:Q")
    text = chart._repr_mimebundle_()["text/html"]
    (tmp_path / "own.html").write_text(f"<script src='{assets.VEGA}'></script>{text}")
    pages.opened(browser, tmp_path / "own.html")
    pages.until(lambda: pages.count(browser, ".vega-embed svg.marks") == 1, "the chart is drawn")
    assert pages.requests(browser) == []


@pytest.fixture
def on_phone(browser, page):
    pages.opened(browser, page, 320)
    return browser


def test_a_phone_scrolls_charts_and_tables_but_never_the_page(on_phone):
    assert pages.overflow(on_phone) == 0
    assert pages.count(on_phone, "table") >= 1


def test_a_phone_gives_a_sentence_in_a_table_more_than_a_word_a_line(on_phone):
    cell = on_phone.find_element("css selector", "#tab-small td:last-child")
    height = "return parseFloat(getComputedStyle(arguments[0]).lineHeight)"
    lines = cell.size["height"] / on_phone.execute_script(height, cell)
    assert lines < len(cell.text.split()) / 2


def test_a_phone_does_not_zoom_in_on_a_control(on_phone):
    """As Safari does where letters are smaller than 16 pixels."""
    sizes = on_phone.execute_script(
        "return [...document.querySelectorAll('.birdie-chart input, .birdie-explore input')]"
        ".map(control => parseFloat(getComputedStyle(control).fontSize))"
    )
    assert len(sizes) > 5 and min(sizes) >= 16


def test_a_screen_reader_hears_the_caption_and_the_name_of_every_button(view):
    chart = view.find_element("css selector", ".birdie-chart")
    picture = chart.find_element("css selector", "[role='graphics-document']")
    assert picture.get_attribute("aria-label") == "The loss x^2 falls."
    menu = chart.find_element("css selector", "summary")
    assert menu.get_attribute("aria-label") == "Save this figure"
    assert pages.count(view, "button:not([aria-label]):empty") == 0


def test_the_menu_of_a_chart_opens_inside_it(view):
    box = view.find_element("css selector", ".birdie-scroll:has(.birdie-chart)")
    box.find_element("css selector", "summary").click()
    pages.until(lambda: pages.count(view, ".vega-actions a") == 2, "the menu is open")
    pages.until(lambda: not pages.moving(view), "it stands still")
    wide = "const e = arguments[0]; return e.scrollWidth - e.clientWidth"
    assert view.execute_script(wide, box) == 0


def test_the_focus_of_the_keyboard_is_always_seen(view):
    assert pages.unseen_focus(view) == []


def test_all_code_is_folded_until_the_switch_and_then_on_every_page(view, page):
    shown = lambda: pages.count(view, ".cell details.hide[open]")
    switch = lambda: view.find_element("css selector", "button.birdie-code")
    every = pages.count(view, ".cell details.hide")
    assert every >= 3 and shown() == 0 and switch().text == "Show all code"
    switch().send_keys("\n")
    assert shown() == every
    pages.opened(view, page)
    assert shown() == every
    switch().click()
    assert shown() == 0


def test_folds_of_a_figure_are_one_line_below_its_caption(view):
    line = view.find_element("css selector", "figure:has(.birdie-chart) figcaption + .birdie-folds")
    folds = line.find_elements("css selector", "summary")
    assert [fold.text.split(" (")[0] for fold in folds] == ["How this was made", "Show code"]
    assert folds[0].location["y"] == pytest.approx(folds[1].location["y"], abs=6)


def test_a_fold_opens_by_every_word_of_its_title_and_by_a_link_into_it(view, page):
    fold = lambda: view.find_element("css selector", ".admonition.dropdown")
    inside = lambda: fold().find_element("css selector", "p:not(.admonition-title)")
    assert not inside().is_displayed()
    word = fold().find_element("css selector", "em")
    ActionChains(view).scroll_to_element(word).click(word).perform()
    pages.until(lambda: inside().is_displayed(), "the word opens the fold")
    assert pages.errors(view) == []
    view.get(f"{page.resolve().as_uri()}#deep")
    view.refresh()
    pages.until(lambda: inside().is_displayed(), "the link opens the fold")


def test_explorables_are_numbered_and_drawn(view):
    caption = view.find_element("css selector", "#fig-power figcaption").text
    assert caption.startswith("Fig. 1 A caption with a word of weight.")
    assert "Play with Fig. 1." in view.find_element("css selector", "article").text
    assert pages.count(view, ".birdie-explore svg") == 2
    assert pages.count(view, ".birdie-cell") > 100


def test_readers_without_javascript_are_told_what_a_figure_needs(page):
    text = page.read_text()
    assert text.count("This figure needs JavaScript.") == 3  # two explorables, a chart
    assert text.count("data-explore=") == 2 and text.count('class="birdie-chart"') == 1


def test_what_is_shown_can_be_saved_as_csv(view):
    figure, table = view.find_elements("css selector", "details.provenance")
    for fold in (figure, table):
        fold.find_element("css selector", "summary").click()
    pages.until(lambda: pages.count(view, "a[download$='.csv']") == 2, "both have a link")
    links = view.find_elements("css selector", "a[download$='.csv']")
    assert [link.get_attribute("download") for link in links] == ["fig-small.csv", "tab-small.csv"]
    said = [unquote(link.get_attribute("href")).partition(",")[2].splitlines() for link in links]
    assert said[0][:2] == ["step,loss,</script>", "0,3,a"] and len(said[0]) == 4
    assert said[1][0].startswith("a rather long heading 0,")


def test_a_word_of_the_glossary_says_what_it_means(view):
    word = view.find_element("css selector", "article a:has(.std-term)")
    assert word.get_attribute("title") == "The share of rows of every objective in a batch."
    assert word.get_attribute("href").endswith("glossary.html#term-mixture")


def test_links_to_a_page_say_what_it_is_and_how_long_it_takes(view, page):
    meta = lambda name: view.find_element("css selector", f"meta[{name}]").get_attribute("content")
    assert meta("name='description'") == meta("property='og:description'")
    assert meta("name='description'").startswith("See Fig. 2 and Table 1; the loss is")
    assert meta("property='og:title'") == "Figures"
    note = view.find_element("css selector", ".birdie-minutes")
    assert note.text == "1 min read · open in Colab · notebook with its outputs"
    assert '<p class="birdie-minutes">reference</p>' in (page.parent / "glossary.html").read_text()
    colab, offered = (
        link.get_attribute("href") for link in note.find_elements("css selector", "a")
    )
    assert colab.startswith(f"{layout.COLAB}/github/") and f"/{layout.release()}/book/" in colab
    assert '"text/html"' in Path(urlsplit(offered).path).read_text()


def test_a_dark_page_prints_light_and_is_dark_again(view):
    pages.theme(view, "dark")
    theme = "document.documentElement.dataset.theme"
    view.execute_script(f"addEventListener('beforeprint', () => {{ window.printed = {theme}; }})")
    view.print_page()
    pages.until(lambda: view.execute_script(f"return {theme}") == "dark", "it is dark again")
    assert view.execute_script("return window.printed") == "light"


@pytest.mark.parametrize(
    "off",
    [
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('it is off') }})",
        "Storage.prototype.setItem = Storage.prototype.getItem = () => { throw new Error('full') }",
    ],
)
def test_where_pages_may_store_nothing_their_controls_work(browser, page, off):
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": off})
    try:
        pages.opened(browser, page)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    seen = browser.execute_script(
        "const { dataset } = document.documentElement, seen = [];"
        "for (let i = 0; i < 3; i++) {"
        "  document.querySelector('.theme-switch-button').click(); seen.push(dataset.mode); }"
        "const code = document.querySelector('button.birdie-code'); code.click();"
        "return [...seen, code.textContent]"
    )
    assert seen == ["auto", "dark", "light", "Hide all code"]


def test_the_whole_book_prints_as_one_pdf(browser, page, tmp_path, monkeypatch):
    monkeypatch.delenv("BIRDIEDNA_RUNS", raising=False)
    book = layout.here(page.parents[3])
    pdf.printed(build.Order(), book, tmp_path / "book.pdf")
    printed = (tmp_path / "book.pdf").read_bytes()
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") >= 6  # each on a new one
    assert b"/Outlines" in printed
