"""Accessibility of the page in a browser, checked by axe-core: light and dark, wide and narrow."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.project import missing
from support.report_tables import alert, alerts, records, report_data, report_tables
from support.samples import ALL

from marvel_kedro.monitoring.aggregation.value_counts import Segment
from marvel_kedro.monitoring.report import page as report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("axe_core_python", "axe_playwright_python")
_RUN = """
<script>{axe}</script>
<script>
document.querySelectorAll("details").forEach(one => one.open = true);
axe.run(document, {{resultTypes: ["violations"]}}).then(result => {{
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify({{
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    width: innerWidth,
    beyond: document.documentElement.scrollWidth - innerWidth,
    passes: result.passes.length,
    violations: result.violations.map(one => [one.id, one.nodes.map(node => node.html)]),
  }});
  parent.document.body.replaceChildren(pre);
}});
</script>
"""
_FRAME = """<!doctype html><html style="color-scheme: light dark"><body>
<iframe width="{width}" height="900" style="border: 0" srcdoc="{page}"></iframe></body></html>"""
"""A headless window is at least 500 pixels wide; a frame can be narrower."""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing("no browser found: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def axe() -> str:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()
    return missing("axe-core not found: pip install axe-core-python")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(
    browser: str, axe: str, tmp_path: Path, scheme: str, width: int
) -> None:
    versions = (ALL, Segment("4"), Segment("3", "gender", "Female"))
    found = report_tables(
        {
            (day, part): records(day, moved=0.3 * (day == 2))
            for day in range(3)
            for part in versions
        },
        {part: records(9, 500) for part in versions},
        alerts=alerts(alert(2), alert(0, state="resolved", severity="critical")),
        rejected={"the request is no JSON": 2},
    )
    page = report.render(report_data(found))
    # The policy of the page blocks scripts, axe-core included.
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    file = tmp_path / "page.html"
    inside = page.replace("</body>", _RUN.format(axe=axe) + "</body>")
    file.write_text(_FRAME.format(width=width, page=html.escape(inside)))
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
            "--window-size=1400,1000",
            "--virtual-time-budget=60000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    result = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert result, done.stderr[-2000:]
    outcome = json.loads(html.unescape(result.group(1)))
    assert outcome["width"] == width
    assert outcome["dark"] == (scheme == "dark")
    assert outcome["passes"] > 20
    assert outcome["violations"] == []
    assert outcome["beyond"] <= 0
