"""Tests the finished page in headless Chromium: python3 browser.py SITE

At 1280 and 400 pixels, light and dark: nothing in the console, nothing wider than the window, controls that a finger can hit. Then the page's
own test.
"""

import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import time

TEST = pathlib.Path(__file__).with_name("test.html")
# 200 attacks of 20 steps, with room for a slow machine.
SECONDS = 600
# Controls lower than this are hard to hit with a finger (WCAG 2.2 asks for 24 pixels, its enhanced level for 44).
LOWEST = 44


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site and the test page, and takes what the test page has found."""

    def do_GET(self):
        if self.path.split("?")[0] != "/test.html":
            return super().do_GET()
        page = TEST.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self):
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def open_page(site, scheme):
    """Opens the test page. Returns what it has found, and the messages of the browser's console."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=site)
    )
    server.timeout, server.found = 0.5, None
    with server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        errors = pathlib.Path(folder) / "errors"
        address = f"http://127.0.0.1:{server.server_port}/test.html?scheme={scheme}"
        preference = {"dark": 0, "light": 1}[scheme]
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", "--window-size=1400,1000", "--enable-logging=stderr"]
        command += [f"--blink-settings=preferredColorScheme={preference}", address]
        with errors.open("w") as stderr:
            browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            end = time.monotonic() + SECONDS
            while server.found is None and time.monotonic() < end and browser.poll() is None:
                server.handle_request()
        finally:
            browser.terminate()
            browser.wait()
        messages = [line for line in errors.read_text(errors="replace").splitlines() if "CONSOLE" in line]
    return server.found, messages


def problems_of(scheme, found, messages):
    """What is wrong with the pages of one colour scheme."""
    problems = list(messages)
    if found is None:
        return problems + [f"no result within {SECONDS} seconds"]
    if "error" in found:
        problems.append(found["error"])
    for page in found["pages"]:
        if page["state"] != "ready":
            problems.append(page["verdict"])
        if page["inner"] != page["width"]:
            problems.append(f"the page was shown at {page['inner']} pixels in place of {page['width']}")
        if page["content"] > page["width"]:
            problems.append(f"at {page['width']} pixels the page is {page['content']} pixels wide")
        if page["lowest"] < LOWEST:
            problems.append(f"at {page['width']} pixels a control is {page['lowest']} pixels high")
        print(f"{page['width']} pixels, {scheme}: background {page['background']}; {page['verdict']}")
    if test := found.get("selfTest"):
        print(test["log"], end="")
        if test["state"] != "passed":
            problems.append("the self-test failed")
    elif scheme == "light" and "error" not in found:
        problems.append("the self-test did not run")
    return problems


def main():
    problems, backgrounds = [], {}
    for scheme in ["light", "dark"]:
        found, messages = open_page(sys.argv[1], scheme)
        problems += problems_of(scheme, found, messages)
        backgrounds[scheme] = [page["background"] for page in (found or {"pages": []})["pages"]]
    if backgrounds["light"] == backgrounds["dark"]:
        problems.append("the page has the same background in light and dark")
    for problem in problems:
        print(f"web: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
