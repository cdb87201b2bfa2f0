"""Take the pictures of docs/images from a running dashboard.

    python -m tests.dashboard.pictures http://127.0.0.1:8050 KEYWORD INCIDENT

INCIDENT is the number of one of KEYWORD on a parsed day, so that its view shows drivers.
"""

from __future__ import annotations

import sys
from urllib.parse import quote

from playwright.sync_api import sync_playwright

from local import browser
from local.settings import ROOT
from tests.dashboard.conftest import CHROMIUM_OPTIONS, until

FOLDER = ROOT / "docs" / "images"


def main(url: str, keyword: str, incident: str) -> int:
    path = browser.find()
    if path is None:
        print("no Chromium: run `make browser`", file=sys.stderr)
        return 1
    pictures = {
        "now": ("/", "light", ".incident .spark .line"),
        "keyword": (f"/keyword?q={quote(keyword)}&incident={incident}", "light", ".driver"),
        "pipeline": ("/pipeline", "dark", "tbody tr"),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        for name, (view, colours, ready) in pictures.items():
            page = launched.new_page(viewport={"width": 1280, "height": 800}, color_scheme=colours, locale="en-GB")  # type: ignore[arg-type]
            page.goto(url.rstrip("/") + view)
            page.wait_for_selector(ready)
            until(page, "!document.querySelector('.skeleton')")
            until(page, "document.getElementById('live').dataset.state === 'on'")
            page.screenshot(path=FOLDER / f"{name}.png")
        launched.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
