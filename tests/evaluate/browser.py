"""A report in headless Chromium: what it looks like, what it complains of, what it asks the network for."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

WIDTHS = {"phone": 390, "desktop": 1280}
SCHEMES = {"dark": 0, "light": 1}
"""As Blink counts preferred colour schemes."""


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it; skips where there is none, or where it does not start."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    done = subprocess.run(
        [
            found, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}", "--disable-background-networking", "--no-first-run",
            "--disable-component-update", "--disable-sync", *arguments,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"chromium does not start here: {done.stderr.strip().splitlines()[-1:]}")
    return done


def screenshot(page: Path, to: Path, *, width: int, height: int, scheme: str) -> subprocess.CompletedProcess[str]:
    """A picture of the page at a width that windows may be too wide for, so in a frame of that width."""
    frame = to.with_suffix(".html")
    frame.write_text(
        f'<body style="margin:0"><iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:{height}px">'
    )
    return chromium(
        to.parent,
        f"--screenshot={to}",
        f"--window-size={max(width, 500)},{height}",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        "--allow-file-access-from-files",
        "--virtual-time-budget=2000",
        frame.as_uri(),
    )


def asked(page: Path, folder: Path, *, width: int, scheme: str, script: str) -> tuple[Any, str, list[str]]:
    """Open the page with ``script`` added; it leaves JSON in ``window.found``.

    Returns:
        What the script found, what stood on the console, and addresses asked for beside the page itself.
    """
    text = page.read_text(encoding="utf-8")
    # The page itself forbids scripts; what is examined is a copy that lets this one run, and asks for no more.
    text = re.sub(r"(default-src 'none';)", r"\1 script-src 'unsafe-inline';", text)
    ending = "<script>(async()=>{%s})().then(f=>{document.body.innerHTML='';" % script  # noqa: UP031
    ending += "const p=document.createElement('pre');p.id='found';p.textContent=JSON.stringify(f);"
    ending += "document.body.append(p)})</script></body>"
    copy = folder / f"copy-{width}-{scheme}.html"
    copy.write_text(text.replace("</body>", ending), encoding="utf-8")
    log = folder / f"net-{width}-{scheme}.json"
    done = chromium(
        folder,
        "--dump-dom",
        f"--window-size={width},900",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
        f"--log-net-log={log}",
        "--virtual-time-budget=20000",
        copy.as_uri(),
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(html.unescape(found[1])), console, addresses(log)


def addresses(log: Path) -> list[str]:
    """Addresses of requests in a network log, but for those of the browser itself."""
    text = log.read_text(encoding="utf-8", errors="replace")
    urls = set(re.findall(r'"(?:url|initiator)":"((?:https?|ftp|wss?)://[^"]+)"', text))
    return sorted(url for url in urls if not re.search(r"//[^/]*(google|gstatic|chromium)[^/]*/", url))
