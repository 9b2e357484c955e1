"""Lighthouse on the most used pages of a running product with its demo people (`PORT`).

Lighthouse throttles as on a phone. It comes by `npx` in the version below; without node, npm or Chromium this command
says so, and measures nothing.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from carteira.demo import PASSWORD

LIGHTHOUSE = "lighthouse@12.2.1"
CATEGORIES = ("performance", "accessibility", "best-practices")
AUDITS = ("first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")
LEAST = 95
PAGES = (("sign-in", "/app/entrar", False), ("home", "/app", True), ("statement", "/app/extrato", True))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
MARIA = "maria@exemplo.com.br"


def session(url: str) -> str:
    """Sign the demo's Maria in by the page's form; return the cookie of her session."""
    with httpx.Client(base_url=url, headers={"Accept": "text/html"}) as browser:
        found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/app/entrar").text)
        assert found is not None, "each form has a token"
        fields = {"csrf": found[1], "username": MARIA, "password": PASSWORD}
        browser.post("/app/entrar", data=fields)
        return f"carteira_session={browser.cookies['carteira_session']}"


def measure(npx: str, chromium: str, address: str, cookie: str) -> dict[str, Any]:
    """Measure a page once with Lighthouse; return its report."""
    command = [npx, "--yes", LIGHTHOUSE, address, "--quiet", "--output=json", "--output-path=stdout"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--chrome-flags=--headless=new --no-sandbox"]
    if cookie:
        command.append(f"--extra-headers={json.dumps({'Cookie': cookie})}")
    done = subprocess.run(command, env=os.environ | {"CHROME_PATH": chromium}, capture_output=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """Measure each page some times and print the medians; return 1 if one is below the promise."""
    npx = shutil.which("npx")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if npx is None or chromium is None:
        sys.exit("NOTHING WAS MEASURED: Lighthouse needs node with npx, and a Chromium (`make browser`).")
    url = f"http://localhost:{os.environ.get('PORT', '8000')}"
    cookie = session(url)
    table = Table("page", *CATEGORIES, "FCP ms", "LCP ms", "TBT ms", "CLS")
    low = []
    for name, path, signed_in in PAGES:
        reports = [measure(npx, chromium, url + path, cookie if signed_in else "") for _ in range(ROUNDS)]
        scores = [
            round(100 * statistics.median(report["categories"][one]["score"] for report in reports))
            for one in CATEGORIES
        ]
        figures = [statistics.median(report["audits"][one]["numericValue"] for report in reports) for one in AUDITS]
        table.add_row(name, *map(str, scores), *(f"{one:.0f}" for one in figures[:3]), f"{figures[3]:.3f}")
        low += [f"{name}: {one} {score}" for one, score in zip(CATEGORIES, scores, strict=True) if score < LEAST]
    Console().print(table)
    if low:
        sys.exit(f"Below {LEAST}: {'; '.join(low)}")


if __name__ == "__main__":
    main()
