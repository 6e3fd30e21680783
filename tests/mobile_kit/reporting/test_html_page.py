"""The page of a report: whole, escaped, quick to open. How it looks is for people to see."""

import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mobile_kit.measurements.latency import Latency, latency
from mobile_kit.measurements.result import DeviceInfo, Op, RunInfo, Validity
from mobile_kit.reporting.charts import MOST_PANELS, MOST_ROWS
from mobile_kit.reporting.html_page import page
from mobile_kit.reporting.summary import ArtifactResult, Summary
from tests.browser import BROWSER, browsing
from tests.surveys import BOARD, HOST, PHONE, result, row, surveyed

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br", "line"}
# Bounds, and what was measured of 1,008 results on two busy cores: 3.3 MB, and 1.0 to 1.4 s until it is laid out.
MANY_MB = 5.0
# A page of a so much smaller part of the results is held beside it, and how much longer by the result it may take.
FEWER, MORE_BY_THE_RESULT = 7, 1.5


class Reader(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "action", "data", "srcset"}]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def one(each: ArtifactResult) -> Summary:
    return Summary((each.row,), (each,))


def measured(**changes: object) -> ArtifactResult:
    each = row("model", "tflite", "fp16")
    return ArtifactResult(each, "profile-host.json", replace(result(each, 10.0), **changes))  # type: ignore[arg-type]


def test_a_page_is_whole_and_needs_nothing_else() -> None:
    text = page(surveyed(["one", "two"], [HOST, PHONE, BOARD]))
    read = Reader(text)
    assert read.open == []
    assert read.addresses == []
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text
    for part in ("prefers-color-scheme: dark", 'name="viewport"', "<svg"):
        assert part in text


@pytest.mark.parametrize(
    "survey",
    [
        one(measured(device=replace(PHONE, model=EVIL))),
        one(measured(device=DeviceInfo(EVIL, EVIL, soc=EVIL, os=EVIL, governor=EVIL))),
        one(measured(ops=(Op(EVIL, EVIL, mean_us=1.0, module=f"{EVIL}.0.{EVIL}.x"),))),
        one(measured(ops=(Op(EVIL, mean_us=1.0),))),
        one(measured(validity=Validity(reasons=(EVIL,)))),
        one(measured(env={EVIL: EVIL}, run=RunInfo(EVIL, "imported", EVIL, EVIL, EVIL))),
        one(measured(latency=Latency(p50=1.0, stability=EVIL))),
        one(replace(measured(), file=EVIL, row=replace(row("m", "tflite", "fp16"), recipe=EVIL, target=EVIL))),
        one(replace(measured(), row=replace(row("m", "tflite", "fp16"), folder=EVIL, model=EVIL, status=EVIL))),
        Summary((replace(row("m", "tflite", "fp16"), untimed=EVIL),), ()),
    ],
    ids=["model", "device", "module", "operation", "reason", "run", "grade", "recipe", "artifact", "untimed"],
)
def test_no_word_becomes_markup(survey: Summary) -> None:
    text = page(survey)
    read = Reader(text)
    assert "script" not in read.tags
    assert "<script" not in text
    # Recipes are written into SVG, too.
    assert EVIL in read.said or EVIL in read.said.replace("&#39;", "'") or "&lt;script&gt;" in text


def test_what_is_not_valid_is_shown_with_its_reasons_everywhere() -> None:
    reasons = ("3 calls of at least 50", "the device held its clock back")
    text = page(one(measured(validity=Validity(reasons=reasons))))
    said = Reader(text).said
    assert "not valid: 3 calls of at least 50; the device held its clock back" in said
    assert "1 result on 1 device, 1 not valid" in said
    for mark in (
        '<tr class="invalid first">',
        'class="row invalid"',
        'class="median invalid"',
        '<circle class="invalid"',
    ):
        assert mark in text
    assert 'class="median c0"' not in text


def test_what_is_emulated_is_marked_and_beside_no_other() -> None:
    text = page(surveyed(["one"], [HOST, BOARD]))
    said = Reader(text).said
    assert "6 emulated" in said
    assert "one on qemu board (ssh:board) emulated: not the speed of any device" in said
    # It is in the summary, its own spread, what its operations are, and its details; not in ratios, trades or devices.
    against, trades, devices = (said.find(title) for title in ("Against fp32", "What a recipe keeps", "From device to"))
    assert against > 0
    assert "board" not in said[against : said.find("Where the time goes")]
    assert (trades > 0, devices) == (True, -1)


def test_what_is_not_timed_says_why() -> None:
    found = Summary(
        (row("m", "coreml", "fp16", untimed="only a Mac or a phone runs it"), row("m", "tflite", "fp16")), ()
    )
    said = Reader(page(found)).said
    assert "not timed: only a Mac or a phone runs it" in said
    assert "2 files, 0 results on 0 devices, 2 not timed" in said
    assert "62.0" in said


def test_figures_without_single_calls_are_drawn_too() -> None:
    text = page(one(measured(latency=Latency(p50=12e3), ops=())))
    assert 'class="median c0"' in text
    assert 'class="dots' not in text
    assert "12.00" in Reader(text).said


def test_nothing_is_invented_of_a_result_without_figures() -> None:
    text = page(one(measured(latency=latency([]), ops=())))
    assert Reader(text).open == []
    assert "<svg" not in text


def test_devices_are_held_side_by_side() -> None:
    said = Reader(page(surveyed(["one"], [HOST, PHONE]))).said
    assert "From device to device" in said
    assert "one Pixel 8 (adb:R5CT) ms host ms" in said


def test_estimates_are_said_to_be_estimates() -> None:
    said = Reader(page(one(measured(ops=(Op("conv", kind="estimated", percent=100.0),))))).said
    assert "percent of all operations (estimates, not measured)" in said


def test_plots_of_many_results_say_what_they_leave_out() -> None:
    rows = [replace(row("m", "tflite", "fp16"), folder=f"m/{n}", recipe=f"r{n}") for n in range(MOST_ROWS + 6)]
    found = Summary(tuple(rows), tuple(ArtifactResult(each, "p", replace(result(each, 3.0), ops=())) for each in rows))
    text = page(found)
    assert text.count('class="median') == MOST_ROWS
    assert "6 more are in the table" in Reader(text).said
    many = Reader(page(surveyed([f"model {n}" for n in range(MOST_PANELS + 3)]))).said
    assert "3 more of these plots are left out" in many


def test_the_date_is_that_of_the_measurements() -> None:
    run = RunInfo("x", "runner", "mobile-kit", started_at="2026-03-04T23:00:00+00:00")
    first, second = measured(), measured(run=run)
    assert "Measured 2026-01-02 to 2026-03-04." in page(Summary((first.row,), (first, second)))
    assert re.search(r"Written \d{4}-\d\d-\d\d\.", page(Summary((first.row,), ())))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 1,008 results, of 80 calls and 36 operations each."""
    path = tmp_path_factory.mktemp("many") / "report.html"
    path.write_text(page(surveyed([f"model {n}" for n in range(84)], [HOST, PHONE])), encoding="utf-8")
    return path


def test_a_page_of_a_thousand_results_is_small(many: Path) -> None:
    assert many.stat().st_size < MANY_MB * 1e6


def told(text: str, expression: str, width: int, folder: Path) -> int:
    """What an expression of a page's document is when it has been laid out at a width of so many pixels."""
    # The page lets no script run. One that may is put around it, and can read it as both are of one origin.
    escaped = text.replace("&", "&amp;").replace('"', "&quot;")
    loaded = f"const page = this.contentDocument; document.body.append(`told ${{Math.round({expression})}}.`)"
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escaped}" onload="{loaded}"></iframe>'
    place = folder / "around.html"
    place.write_text(f"<script>const start = performance.now()</script>{frame}", encoding="utf-8")
    assert BROWSER is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
    command = [BROWSER, *options, f"--user-data-dir={folder / 'browser'}", "--window-size=1400,900", place.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"told (\d+)\.", done.stdout)
    assert found is not None
    return int(found[1])


@pytest.mark.slow
@browsing
def test_a_page_takes_no_longer_by_the_result_where_there_are_a_thousand(many: Path, tmp_path: Path) -> None:
    few = page(surveyed([f"model {n}" for n in range(84 // FEWER)], [HOST, PHONE]))
    laid_out = "(page.body.offsetHeight > 0) * (performance.now() - start)"
    # In turns, and the least counts: the machine may be busy with others.
    turns = [[told(text, laid_out, 1200, tmp_path) for text in (few, many.read_text("utf-8"))] for _ in range(3)]
    short, long = (min(times) for times in zip(*turns, strict=True))
    assert 0 < long < MORE_BY_THE_RESULT * FEWER * short, turns


@browsing
@pytest.mark.parametrize("width", [390, 1200])
def test_tables_scroll_in_their_boxes_and_the_page_does_not(width: int, tmp_path: Path) -> None:
    text = page(surveyed(["a-model-with-a-long-name-256"], [HOST, PHONE, BOARD]))
    assert told(text, "page.documentElement.scrollWidth", width, tmp_path) <= width
    wide = text.replace("overflow-x: auto", "overflow-x: visible")
    assert told(wide, "page.documentElement.scrollWidth", 390, tmp_path) > 390
