"""Pages in a real browser, checked by axe-core: light and dark, wide and narrow."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from support.project import missing

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


def _browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or missing("no browser found: apt-get install chromium")


def _axe() -> str:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()
    return missing("axe-core not found: pip install axe-core-python")


def check_accessibility(page: str, folder: Path, scheme: str, width: int) -> None:
    """Assert that axe-core finds nothing in a page, and that it is no wider than the window."""
    # The policy of the page blocks scripts, axe-core included.
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    file = folder / "page.html"
    inside = page.replace("</body>", _RUN.format(axe=_axe()) + "</body>")
    file.write_text(_FRAME.format(width=width, page=html.escape(inside)))
    done = subprocess.run(
        [
            _browser(),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={folder / 'profile'}",
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
    outcome: dict[str, Any] = json.loads(html.unescape(result.group(1)))
    assert outcome["width"] == width
    assert outcome["dark"] == (scheme == "dark")
    assert outcome["passes"] > 10
    assert outcome["violations"] == [], outcome["violations"]
    assert outcome["beyond"] <= 0
