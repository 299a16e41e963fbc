"""Drives the monitor's page in a real headless Chromium, checks it, and takes its pictures.

usage: drive.py CHROMIUM URL FOLDER STOP_DATABASE WRITE_MARKUP STOP_MONITOR

It speaks the DevTools protocol over a pipe: no port, no library. The three commands stop the database of the
other node, start it and make a table there whose name is markup with a script, and stop the monitor.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
]
WIDTHS = {"wide": 1280, "tablet": 820, "phone": 390}
PATIENCE = 60


class Browser:
    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.back, from_write = os.pipe()

        def ends():
            # Chromium reads from 3 and writes to 4.
            first, second = os.dup(to_read), os.dup(from_write)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=ends, close_fds=False, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        self.number, self.rest, self.said = 0, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Accessibility"]:
            self.ask(f"{domain}.enable")

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            # What the page, or the policy, complains about.
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
                self.said.append(json.dumps(answer["params"]))

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.back, 1 << 20)
            if not more:
                raise SystemExit("the browser has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def value(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, what, expression):
        end = time.monotonic() + PATIENCE
        while not self.value(expression):
            if time.monotonic() > end:
                raise SystemExit(f"within {PATIENCE} s not: {what}\n{self.value('document.body.innerText')}")
            time.sleep(0.2)
        print(f"ok: {what}")

    def look(self, width, scheme):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path, height=None):
        full = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": full["width"], "height": height or full["height"], "scale": 1}
        picture = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))


def must(holds, what):
    if not holds:
        raise SystemExit(f"NOT: {what}")
    print(f"ok: {what}")


def heard(browser):
    """What a screen reader is told: role and name of each thing on the page."""
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    return [(n.get("role", {}).get("value"), n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]


def main():
    program, url, folder, *commands = sys.argv[1:]
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, profile)
        try:
            drive(browser, url, folder, *commands)
        finally:
            browser.process.terminate()
            browser.process.wait(20)


def drive(browser, url, folder, stop_database, write_markup, stop_monitor):
    browser.look(WIDTHS["wide"], "light")
    browser.ask("Page.navigate", url=url)
    browser.until("both statuses are Alive", "document.querySelectorAll('.status.alive').length === 2")
    browser.until("the script runs", "document.getElementById('age').textContent.startsWith('Checked ')")
    for name, width in WIDTHS.items():
        for scheme in ["light", "dark"]:
            browser.look(width, scheme)
            wide = browser.value("document.documentElement.scrollWidth")
            must(wide <= width, f"{name}, {scheme}: nothing is wider than the window ({wide} of {width})")
            broken = browser.value(
                "[...document.querySelectorAll('.status p')].filter(p => p.scrollWidth > p.clientWidth || p.clientHeight > 1.5 * parseFloat(getComputedStyle(p).fontSize)).length"
            )
            must(broken == 0, f"{name}, {scheme}: each word of a status is whole, on one line")
            small = browser.value(
                "[...document.querySelectorAll('.chart .mark')].filter(t => t.getBoundingClientRect().height < 9).length"
            )
            must(small == 0, f"{name}, {scheme}: every word of a chart can be read")
            browser.picture(f"{folder}/page-{name}-{scheme}.png")
    browser.look(WIDTHS["wide"], "light")
    told = heard(browser)
    roles = {}
    for role, name in told:
        roles.setdefault(role, []).append(name)
    for words in ["High Availability Status", "Replication Status", "Findings", "Lag", "Heartbeats", "Events"]:
        must(words in roles.get("heading", []), f"a screen reader finds the heading {words}")
    charts = [name for role in ("image", "img", "graphics-document") for name in roles.get(role, [])]
    must(sum(name.startswith("Lag, ") for name in charts) == 3, "a screen reader is told what each chart shows")
    must(all(name for name in roles.get("link", [])), "each link has a name")
    kept = browser.value("window.mark = document.querySelector('[data-part=statuses]'); true")
    must(kept, "the live region is known")

    subprocess.run(stop_database, shell=True, check=True)
    browser.until("the page says Failed by itself", "document.querySelectorAll('.status.failed').length > 0")
    must(browser.value("window.mark.isConnected && window.mark.getAttribute('aria-live') === 'polite'"),
         "the live region was changed, not replaced")
    must(browser.value("document.title.startsWith('Failed')"), "the title says Failed")
    must(browser.value("getComputedStyle(document.querySelector('.status.failed')).color !== getComputedStyle(document.body).color"),
         "Failed has its colour")
    for name, scheme in [("wide", "light"), ("wide", "dark"), ("phone", "light")]:
        browser.look(WIDTHS[name], scheme)
        browser.picture(f"{folder}/failed-{name}-{scheme}.png", 1100)
    subprocess.run(write_markup, shell=True, check=True)
    browser.until("the page shows markup of the other node as text", "document.body.innerText.includes('<img src=x onerror=')")
    must(browser.value("document.querySelectorAll('img, [onerror]').length === 0"), "it became no element")
    link = browser.value("document.querySelector('.finding a').getAttribute('href')")
    browser.look(WIDTHS["wide"], "light")

    subprocess.run(stop_monitor, shell=True, check=True)
    browser.until("the page says that it lost its server", "!document.getElementById('lost').hidden")
    must(browser.value("document.body.classList.contains('lost')"), "what is old looks old")
    browser.picture(f"{folder}/lost-wide-light.png", 700)
    complaints = [text for text in browser.said if "ERR_CONNECTION_REFUSED" not in text]
    must(not complaints, f"the policy and the page complain about nothing {complaints}")
    must(link.startswith("/health#"), "a finding leads to its explanation")


main()
