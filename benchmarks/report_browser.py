"""Is a report fit to be shown? Opened in headless Chromium at desktop and phone width, and printed.

    python benchmarks/report_browser.py report/report.html comparison/comparison.html [--out shots]

For each page and width: pictures that are missing, pixels by which the page is wider than the window, scripts and their
errors, and requests to anything but the page itself. Screenshots and a PDF are left in --out. Needs Chromium (Debian:
`apt-get install chromium`); everything else is Python's own. Ends with status 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the browser is not to call home either
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; report-uri /violation"
# counted by a page of ours that holds the report in a frame of the width of the device
PROBE = """<!doctype html><title>probe</title><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe id=f width={width} height={height} src="/report"></iframe><pre id=found>nothing</pre>
<script>
const errors = [];
const f = document.getElementById('f');
f.onload = () => {{
  f.contentWindow.onerror = text => errors.push(String(text));
  const d = f.contentDocument, images = [...d.images];
  d.querySelectorAll('details').forEach(e => e.open = true);
  const all = [...d.querySelectorAll('body *')];
  document.getElementById('found').textContent = JSON.stringify({{
    width: d.documentElement.clientWidth,
    images: images.length,
    missing: images.filter(i => !i.complete || i.naturalWidth === 0).length,
    overflow: d.documentElement.scrollWidth - d.documentElement.clientWidth,
    outside: all.filter(e => e.getBoundingClientRect().right > d.documentElement.clientWidth + 1).map(e => e.tagName),
    scripts: d.scripts.length,
    requests: f.contentWindow.performance.getEntriesByType('resource').map(e => e.name),
    height: d.documentElement.scrollHeight,
    errors,
  }});
}};
</script>"""


def chromium() -> str | None:
    """The browser, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Server:
    """Serves a page and its probe on this machine, and remembers what was asked for."""

    def __init__(self, page: Path) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                content = {"/report": page.read_text(encoding="utf-8"), "/probe": server.probe}.get(self.path)
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                if self.path == "/report":  # what it forbids is reported to /violation
                    self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write((content or "").encode())

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                server.asked.append(self.rfile.read(length).decode(errors="replace"))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.probe = ""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def run(browser: str, *options: str, timeout: float = 300) -> str:
    """One call of the browser, with a profile of its own; what it prints."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout


def inspect(page: Path, out: Path) -> dict[str, dict[str, Any]]:
    """What a browser finds, by width; screenshots and a PDF go to ``out``.

    Raises:
        RuntimeError: there is no browser, or the page does not load in it.
    """
    if (browser := chromium()) is None:
        raise RuntimeError("there is no Chromium here")
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    server = _Server(page)
    try:
        for name, (width, height) in WIDTHS.items():
            server.asked.clear()
            server.probe = PROBE.format(width=width, height=height)
            window = f"--window-size={max(width, 600)},{height + 100}"
            text = run(browser, window, "--virtual-time-budget=20000", "--dump-dom", f"{server.url}/probe")
            answer = re.search(r"<pre id=.?found.?>(.*?)</pre>", text, re.DOTALL)
            if answer is None or answer[1] == "nothing":
                raise RuntimeError(f"{page} did not load at {width} pixels")
            entry = found[name] = json.loads(html.unescape(answer[1]))
            entry["requests"] += [path for path in server.asked if path not in ("/probe", "/report", "/favicon.ico")]
            server.probe = PROBE.format(width=width, height=entry["height"])
            size = f"--window-size={max(width, 500)},{min(entry['height'], 16000)}"
            run(browser, size, f"--screenshot={out / f'{page.stem}-{name}.png'}", f"{server.url}/probe")
        run(browser, "--no-pdf-header-footer", f"--print-to-pdf={out / f'{page.stem}.pdf'}", f"{server.url}/report")
    finally:
        server.close()
    return found


def wrong(entry: dict[str, Any]) -> list[str]:
    """What must not be, in words."""
    checks = {
        f"{entry['missing']} pictures are missing": entry["missing"] > 0 or entry["images"] == 0,
        f"wider than the window by {entry['overflow']} pixels: {entry['outside'][:5]}": entry["overflow"] > 0,
        f"parts outside the window: {entry['outside'][:5]}": len(entry["outside"]) > 0,
        f"{entry['scripts']} scripts": entry["scripts"] > 0,
        f"errors of scripts: {entry['errors']}": len(entry["errors"]) > 0,
        f"requests: {entry['requests']}": len(entry["requests"]) > 0,
    }
    return [text for text, bad in checks.items() if bad]


def main() -> None:
    """Look at all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("shots"))
    options = parser.parse_args()
    bad = False
    if missing := [str(page) for page in options.pages if not page.is_file()]:
        sys.exit(f"no such page: {', '.join(missing)}")
    for page in options.pages:
        for name, entry in inspect(page, options.out).items():
            found = wrong(entry)
            bad |= bool(found)
            summary = f"{entry['images']} pictures, {entry['width']} x {entry['height']} pixels"
            print(f"{page} {name}: {summary}: {'; '.join(found) or 'nothing wrong'}")
    sys.exit(bad)


if __name__ == "__main__":
    main()
