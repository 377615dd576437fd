"""Questions that tests ask about a page in the browser."""

import json
import re
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from waiting import until

from book._ext.assets import STATIC

#: The kinds of explorables.
KINDS = [
    kind
    for script in sorted(STATIC.glob("explore_*.js"))
    for kind in re.findall(r"kinds\.(\w+) = ", script.read_text())
]


def opened(browser: webdriver.Chrome, page: Path, width: int = 0) -> None:
    """Open a page with empty logs, on a phone of this width if any, and wait for its charts."""
    browser.get("about:blank")  # else the former page is drawn again in the new width
    size = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    name = "setDeviceMetricsOverride" if width else "clearDeviceMetricsOverride"
    browser.execute_cdp_cmd(f"Emulation.{name}", size if width else {})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.resolve().as_uri())
    until(lambda: drawn(browser), f"{page.name}: charts drawn")


def drawn(browser: webdriver.Chrome) -> bool:
    """Whether every chart has its picture or its error."""
    charts = browser.find_elements(By.CSS_SELECTOR, ".birdie-chart")
    pictures = browser.find_elements(
        By.CSS_SELECTOR, ".birdie-chart svg.marks, .birdie-chart.birdie-chart-error"
    )
    ready = "return document.readyState === 'complete'"
    return browser.execute_script(ready) and len(pictures) >= len(charts)


def requests(browser: webdriver.Chrome) -> list[str]:
    """The addresses requested from a network since the page was opened."""
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [params["request"]["url"] for params in sent]
    return [url for url in urls if url.split(":")[0] in ("http", "https", "ws", "wss")]


def errors(browser: webdriver.Chrome) -> list[str]:
    """The severe lines of the console since the page was opened."""
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]


def moving(browser: webdriver.Chrome) -> bool:
    """Whether anything on the page is being animated."""
    return browser.execute_script("return document.getAnimations().length > 0")


_UNSEEN = """
return [...document.querySelectorAll('button, summary, a, input, select, textarea')].filter(e => {
  e.focus({focusVisible: true, preventScroll: true});
  const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(e);
  return document.activeElement === e && boxShadow === 'none'
    && (outlineStyle === 'none' || outlineWidth === '0px');
}).map(e => e.outerHTML.slice(0, 120));
"""


def unseen_focus(browser: webdriver.Chrome) -> list[str]:
    """What the keyboard can reach without a sign that it has."""
    return browser.execute_script(_UNSEEN)


def count(browser: webdriver.Chrome, selector: str) -> int:
    """How many elements match."""
    return len(browser.find_elements(By.CSS_SELECTOR, selector))


def theme(browser: webdriver.Chrome, name: str) -> None:
    """Switch to `light` or `dark` without transition."""
    style = (
        "const s = document.createElement('style'); s.textContent = '*{transition:none!important}';"
    )
    browser.execute_script(style + "document.head.append(s);")
    browser.execute_script("document.documentElement.dataset.theme = arguments[0]", name)


def unfold(browser: webdriver.Chrome) -> None:
    """Open all folds."""
    browser.execute_script(
        "document.querySelectorAll('details').forEach(fold => { fold.open = true; });"
        "document.querySelectorAll('.toggle-hidden .toggle-button').forEach(fold => fold.click());"
    )


def overflow(browser: webdriver.Chrome) -> int:
    """By how many pixels the page is wider than its window."""
    # not innerWidth, which on a phone grows with what sticks out
    return browser.execute_script(
        "const e = document.scrollingElement; return e.scrollWidth - e.clientWidth"
    )


_CUT = """
const cut = [...document.querySelectorAll('.birdie-chart svg.marks text, .birdie-explore svg text')]
  .filter(text => {
    const [inner, outer] = [text, text.closest('svg')].map(e => e.getBoundingClientRect());
    return inner.right > outer.right + 1 || inner.left < outer.left - 1;
  }).map(text => text.textContent);
const wide = [...document.querySelectorAll('.birdie-scroll')]
  .filter(e => e.querySelector('.birdie-chart') && e.scrollWidth > e.clientWidth)
  .map(e => e.firstElementChild?.id);
return [...cut, ...wide];
"""


def cut(browser: webdriver.Chrome) -> list[str]:
    """Texts that stick out of their pictures, and charts wider than the page."""
    return browser.execute_script(_CUT)


_FAULTS = """
const [again, done] = arguments;
const rules = again ? {runOnly: ['color-contrast']} : {};
const how = {preload: false, resultTypes: ['violations'], ...rules};
axe.configure({noHtml: true});  // of every element that is looked at, a sixth of the time
const html = ({target}) => document.querySelector(target).outerHTML.slice(0, 200);
axe.run(document, how).then(found => done(found.violations
  .filter(fault => ['serious', 'critical'].includes(fault.impact))
  .flatMap(fault => fault.nodes.map(node => fault.id + ' ' + html(node)))));
"""


def faults(browser: webdriver.Chrome, axe: str, marks: bool = True) -> list[str]:
    """Serious faults that axe finds for readers with a disability, in both themes.

    Themes differ in colours only, so the second one is looked at for contrast.

    Args:
      axe: the source of axe.
      marks: look at every mark in the pictures, which are Vega's own, and at every row of long
        tables, too, which takes most of the time; else they are removed from the page.
    """
    if not marks:
        every = "document.querySelectorAll('svg.marks > g, tbody tr:nth-child(n+6)')"
        browser.execute_script(f"{every}.forEach(e => e.remove())")
    browser.execute_script(axe)
    found = []
    for name in ("light", "dark"):
        theme(browser, name)
        seen = browser.execute_async_script(_FAULTS, name == "dark")
        found += [f"{name}: {fault}" for fault in seen]
    return found


_FAINT = """
function rgb(text) { return (text.match(/[\\d.]+/g) || []).map(Number); }
function linear(v) { return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }
function luminance(c) {
  const [r, g, b] = c.map(v => linear(v / 255));
  return .2126 * r + .7152 * g + .0722 * b;
}
function behind(element) {
  const token = element.closest('.birdie-flying');  // a letter on a box of its own
  const fill = token ? rgb(getComputedStyle(token.querySelector('rect')).fill) : [];
  if (fill.length === 3 || fill[3] > .5) return fill.slice(0, 3);
  for (let e = element; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > .5) return c.slice(0, 3);
  }
  return [255, 255, 255];
}
return [...document.querySelectorAll(
    '.birdie-chart svg .role-axis text, .birdie-chart svg .role-legend text, ' +
    '.birdie-chart svg .role-title text, .birdie-chart svg .role-header text, figcaption, ' +
    '.birdie-explore text, .birdie-explore label, .birdie-said, .birdie-cell:not(.later), ' +
    '.birdie-explore button, .birdie-minutes, .birdie-code, ' +
    'table > caption, details.provenance summary')]
  .filter(e => {
    const style = getComputedStyle(e);
    const ink = luminance(rgb(e.closest('svg') ? style.fill : style.color).slice(0, 3));
    const paper = luminance(behind(e));
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05) < 4.5;
  })
  .map(e => e.textContent);
"""


def faint_text(browser: webdriver.Chrome) -> list[str]:
    """Texts of charts, captions and folds with less contrast than 4.5 to 1."""
    return browser.execute_script(_FAINT)


_SET = """
const [control, value, done] = arguments;
const chart = control.closest('.birdie-chart');
const picture = () => chart.querySelector('svg.marks').outerHTML;
const before = picture();
if (control.type === 'checkbox' || control.type === 'radio') control.click();
else {
  control.value = value;
  for (const name of ['input', 'change']) control.dispatchEvent(new Event(name, {bubbles: true}));
}
let tries = 0;
(function look() {
  if (picture() !== before) done(true);
  else if (++tries > 20) done(false);
  else setTimeout(look, 50);
})();
"""


def idle_controls(browser: webdriver.Chrome) -> list[str]:
    """The controls of charts that never change a picture.

    Each is set back afterwards, so that the next one is tried on the picture as the page opens it:
    where copying is chosen, for instance, a rate rightly changes nothing.
    """
    controls = browser.find_elements(By.CSS_SELECTOR, ".vega-bind input, .vega-bind select")
    first = [control for control in controls if not _is_radio(control) or control.is_selected()]
    idle = [control for control in first if not _changes(browser, control)]
    return [control.get_attribute("name") or control.tag_name for control in idle]


def _is_radio(control: WebElement) -> bool:
    return control.get_attribute("type") == "radio"


def _changes(browser: webdriver.Chrome, control: WebElement) -> bool:
    """Whether any other setting of a control (for a radio: of its group) changes its chart."""
    if _is_radio(control):
        group = control.find_elements(By.XPATH, "./ancestor::div[1]//input[@type='radio']")
        settings = [(radio, "") for radio in group if not radio.is_selected()]
    elif control.tag_name == "select":
        options = control.find_elements(By.TAG_NAME, "option")
        settings = [(control, option.get_attribute("value")) for option in reversed(options)]
    else:
        settings = [(control, control.get_attribute(name)) for name in ("max", "min")]
    before = control.get_attribute("value")
    changed = any(browser.execute_async_script(_SET, *setting) for setting in settings)
    browser.execute_async_script(_SET, control, before)
    return changed
