from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepforge_hpc.runtime.report.refresh import refresh

pytestmark = pytest.mark.browser

LAPTOP = (1280, 800)
TABLET = (820, 1180)
PHONE = (390, 844)

# Text and its colour against the first opaque background below it, as WCAG 2 counts contrast.
CONTRAST = """
const light = c => { const v = c.map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                     return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const parse = s => s.match(/[\\d.]+/g).map(Number);
const low = [];
for (const element of document.querySelectorAll('main *')) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest('svg')) continue;
  let behind = element, colour;
  do { colour = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
  while (behind && colour.length > 3 && colour[3] === 0);
  const a = light(parse(getComputedStyle(element).color)), b = light(colour);
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) low.push(element.textContent.slice(0, 40) + ' ' + ratio.toFixed(2));
}
return low;
"""


def check(browser: Any) -> None:
    """Assert what holds for every report on every screen."""
    assert browser.console() == []
    wide = "return [document.documentElement.scrollWidth, innerWidth]"
    needed, given = browser.run(wide)
    assert needed <= given
    assert browser.run(CONTRAST) == []
    broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert browser.run(broken) == 0
    unnamed = "return [...document.images].filter(i => !i.alt).length"
    assert browser.run(unnamed) == 0
    assert browser.run("return document.querySelectorAll('h1').length") == 1
    assert browser.run("return document.styleSheets.length") == 1
    cut = """return [...document.querySelectorAll('.graph svg.fit')].filter(
               e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth).length"""
    assert browser.run(cut) == 0
    cut = """return [...document.querySelectorAll('.card > .scroll')].filter(
               e => e.scrollWidth > e.clientWidth).length"""
    assert browser.run(cut) == 0


def visible(browser: Any) -> str:
    """Return the text within the first screen."""
    return browser.run(
        """return [...document.querySelectorAll('main *')].filter(e =>
             e.getBoundingClientRect().top < innerHeight && e.checkVisibility() &&
             [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
             .map(e => e.textContent).join('\\n')"""
    )


ANSWERS = {
    "waiting": ["render is waiting for the scheduler"],
    "rendering": ["render is running", "running 5/8"],
    "running": ["train is running; 1 of 6 operations done.", "val_loss", "1.024"],
    "failed": ["train failed.", "4 operations did not run", "operations/train.py:31"],
    "succeeded": ["All 6 operations succeeded", "sigma_mad", "0.01874"],
}


@pytest.mark.parametrize(
    ("how", "screen", "dark"),
    [
        ("waiting", LAPTOP, False),
        ("rendering", PHONE, False),
        ("running", LAPTOP, True),
        ("running", PHONE, False),
        ("failed", LAPTOP, False),
        ("failed", PHONE, True),
        ("succeeded", LAPTOP, False),
        ("succeeded", PHONE, True),
    ],
)
def test_the_answer_stands_on_the_first_screen(
    browser: Any,
    executions: ModuleType,
    tmp_path: Path,
    shots: Path,
    how: str,
    screen: tuple[int, int],
    dark: bool,
) -> None:
    made = executions.redshift(tmp_path / "redshift-0007", how)
    assert refresh(made.root)
    browser.show(made.root / "report.html", *screen, dark=dark)
    check(browser)
    text = visible(browser)
    for word in ANSWERS[how]:
        assert word in text
    name = f"{how}-{screen[0]}-{'dark' if dark else 'light'}"
    assert browser.picture(shots / f"{name}.png").stat().st_size > 10_000
    browser.picture(shots / f"{name}-whole.png", whole=True)


@pytest.mark.parametrize("screen", [LAPTOP, TABLET, PHONE], ids=["laptop", "tablet", "phone"])
def test_a_thousand_operations_are_a_table(
    browser: Any, executions: ModuleType, tmp_path: Path, shots: Path, screen: tuple[int, int]
) -> None:
    made = executions.many(tmp_path / "survey-0007")
    assert refresh(made.root)
    browser.show(made.root / "report.html", *screen)
    check(browser)
    assert browser.run("return document.querySelectorAll('.list tr').length") == 1001
    assert "fit_0013" in visible(browser)
    squares = "return [...document.querySelectorAll('.field svg')].map(s => s.getBoundingClientRect().width)"
    given = "return document.querySelector('.field .scroll').clientWidth"
    assert 200 < max(browser.run(squares)) <= browser.run(given)
    browser.picture(shots / f"many-{screen[0]}.png")


@pytest.mark.parametrize(("titles", "least"), [(["One"], 1000), (["One", "Two"], 480)])
def test_one_or_two_figures_fill_the_width(
    browser: Any, executions: ModuleType, tmp_path: Path, titles: list[str], least: int
) -> None:
    made = executions.redshift(tmp_path / "x", "succeeded")
    made.figure("embeddings", *titles)
    assert refresh(made.root)
    browser.show(made.root / "report.html", *LAPTOP)
    widths = """return [...document.querySelectorAll('#op-embeddings img')]
                  .map(i => i.getBoundingClientRect().width)"""
    found = browser.run(widths)
    assert len(found) == len(titles)
    assert min(found) > least
    check(browser)


def test_times_stand_below_their_lines(
    browser: Any, executions: ModuleType, tmp_path: Path
) -> None:
    made = executions.redshift(tmp_path / "x", "succeeded")
    assert refresh(made.root)
    for screen in (LAPTOP, PHONE):
        browser.show(made.root / "report.html", *screen)
        boxes = """return [...document.querySelectorAll('.times SELECTOR')].map(e => {
                     const box = e.getBoundingClientRect(); return [box.left, box.right]; })"""
        ((left, right),) = browser.run(boxes.replace("SELECTOR", "li:first-child .rail"))
        labels = browser.run(boxes.replace("SELECTOR", ".axis-row text"))
        assert len(labels) == 4  # 0 s, 3 min, 6 min, 9 min of 10 min 20 s
        assert abs((labels[1][0] + labels[1][1]) / 2 - (left + (right - left) * 180 / 620)) < 3
        assert all(a[1] < b[0] for a, b in itertools.pairwise(labels))


def test_a_log_shows_its_end_and_a_figure_fills_the_window_at_a_click(
    browser: Any, executions: ModuleType, tmp_path: Path, shots: Path
) -> None:
    made = executions.redshift(tmp_path / "x", "running")
    assert refresh(made.root)
    browser.show(made.root / "report.html", *LAPTOP)
    log = browser.run(
        """const pre = document.querySelector('pre.end'), range = document.createRange();
           const text = pre.querySelector('code').firstChild;
           range.setStart(text, text.length - 20); range.setEnd(text, text.length);
           return [range.getBoundingClientRect().bottom, pre.getBoundingClientRect().bottom,
                   pre.scrollHeight, pre.clientHeight]"""
    )
    assert log[0] <= log[1]
    assert log[2] > log[3]  # it is longer than what is shown
    size = "return [...document.querySelectorAll('.picture img')].map(i => i.clientWidth)[0]"
    assert 480 < browser.run(size) < 600
    browser.run("document.querySelector('.picture label').click()")
    assert browser.run(size) == LAPTOP[0]
    browser.picture(shots / "figure.png")
    browser.run("document.querySelector('.picture label').click()")
    assert 480 < browser.run(size) < 600
    check(browser)


def test_hostile_content_does_nothing_in_the_browser(
    browser: Any, executions: ModuleType, tmp_path: Path, shots: Path
) -> None:
    made = executions.redshift(tmp_path / "x", "running")
    attack = "</pre></style><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
    made.log("train", attack * 3)
    made.metrics("train", [{"step": 1, attack: 1.0}, {"step": 2, attack: 2.0}])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" onload="parent.document.title='
        "'owned'\"><script>parent.document.title='owned'</script>"
        '<image href="http://127.0.0.1:9/x.png" width="5" height="5"/><rect width="9" height="9"/></svg>'
    )
    made.write("jobs/train/figures/1.svg", svg)
    made.write(
        "jobs/train/figures/index.json",
        {
            "schema": "dfh/figures/1",
            "figures": [
                {"id": "1", "title": attack, "png": "1.png", "svg": "1.svg", "data": attack}
            ],
        },
    )
    made.state("train", "running", began=3, host=attack, reason=attack)
    assert refresh(made.root)
    browser.show(made.root / "report.html", *LAPTOP)
    check(browser)
    assert browser.run("return document.title") == "running: redshift-0007"
    assert browser.run("return document.scripts.length") == 0
    browser.picture(shots / "hostile.png", whole=True)


def test_the_policy_forbids_scripts_and_addresses(
    browser: Any, executions: ModuleType, tmp_path: Path
) -> None:
    made = executions.redshift(tmp_path / "x", "succeeded")
    assert refresh(made.root)
    page = made.root / "report.html"
    planted = "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x.png'><i style='color:red'></i>"
    page.write_text(page.read_text().replace("<main>", f"<main>{planted}"))
    browser.show(page, *LAPTOP)
    complaints = "\n".join(browser.console())
    assert browser.run("return document.title") == "succeeded: redshift-0007"
    for directive in ("script-src", "img-src", "style-src"):
        assert directive in complaints
