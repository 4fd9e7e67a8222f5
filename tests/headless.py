"""Pages in a headless Chromium."""

import json
import os
import re
import shutil
import subprocess

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium: install it, or set CHROMIUM to its path"
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def browse(page, folder, *flags):
    """What Chromium prints for a page, with a profile of its own."""
    flags = ["--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", *flags]
    command = [CHROMIUM, *FLAGS, *flags, page.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def rendered(page, folder, script, *flags):
    """What `script` returns at the end of the page, under a policy that admits it too."""
    source = re.sub(r"<meta http-equiv=.*?>", "", page.read_text(encoding="utf-8"))
    probe = f"""<script>addEventListener("load", () => {{
        const answer = document.createElement("pre");
        answer.id = "answer";
        answer.textContent = JSON.stringify((() => {{ {script} }})());
        document.body.append(answer);
    }});</script></body>"""
    copy = folder / "probed.html"
    copy.write_text(source.replace("</body>", probe), encoding="utf-8")
    dom = browse(copy, folder, "--dump-dom", *flags)
    answer = re.search(r'<pre id="answer">(.*?)</pre>', dom, re.DOTALL)[1]
    return json.loads(answer.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
