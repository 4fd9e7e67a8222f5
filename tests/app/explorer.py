"""The explorer's page in a headless Chromium: real clicks and keys, pictures as they were sent."""

import json
import re
import time
from urllib.request import urlopen

from browser import Browser

INPUT = """(label => [...document.querySelectorAll('label, .block, fieldset')].flatMap(block => {
    const named = block.querySelector('[data-testid="block-info"], .label-wrap, span');
    return named && named.textContent.trim() === label
        ? [...block.querySelectorAll('input, textarea')].filter(each => each.offsetParent) : [];
})[0])"""

INNER = ("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:", "about:")
ASKED, URL = '"initiator":"http://127.0.0.1', r'"url":"([^"]*)"'  # in Chromium's log, by the page
FOUND, HOST = '"network_anonymization_key":"http://127.0.0.1', r'"host":"([^"]*)"'
BROWSERS_OWN = {"content-autofill.googleapis.com"}  # Chromium asks it of any form on any page


class Explorer(Browser):
    """`with Explorer(folder) as page: page.visit(url); page.tab("Paint"); page.press("Clear")`."""

    def __init__(self, folder, width=1200, height=1000):
        self.log = folder / "net.json"  # of all that the browser itself does on the network
        super().__init__(folder, width, height, [f"--log-net-log={self.log}"])

    def visit(self, url):
        self.call("Page.navigate", url=url)
        self.until("!!document.querySelector('#samples')", 60)

    def click_at(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def click(self, element):
        """A mouse on the middle of what an expression gives, scrolled to where it can be."""
        self.until(f"!!({element})")
        self.run(f"({element}).scrollIntoView({{block: 'center'}})")
        time.sleep(0.1)
        box = f"({element}).getBoundingClientRect()"
        self.click_at(*self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})"))

    def tab(self, name):
        tabs = "[...document.querySelectorAll('button[role=tab]')]"
        self.click(
            f"{tabs}.find(each => each.offsetParent && each.textContent.trim() === '{name}')"
        )

    def press(self, text):
        buttons = "[...document.querySelectorAll('button')]"
        same = f"each.offsetParent && each.textContent.trim() === {json.dumps(text)}"
        self.click(f"{buttons}.find(each => {same})")

    def unfold(self, title):
        """What an accordion hides."""
        heads = "[...document.querySelectorAll('button.label-wrap')]"
        begins = f"each.offsetParent && each.textContent.trim().startsWith({json.dumps(title)})"
        self.click(f"{heads}.find(each => {begins})")

    def input(self, label):
        return f"{INPUT}({json.dumps(label)})"

    def value(self, label):
        return self.run(f"{self.input(label)}.value")

    def type(self, label, text):
        """Into a field, over what is there, and out of it."""
        self.click(self.input(label))
        self.run(f"{self.input(label)}.select()")
        self.call("Input.insertText", text=str(text))
        self.key("Tab")

    def choose(self, label, option):
        """One of a list, by typing it."""
        self.click(self.input(label))
        self.run(f"{self.input(label)}.select()")
        self.call("Input.insertText", text=option)
        self.key("Enter")

    def slide(self, label, steps):
        """A slider by so many steps of its keys."""
        ranges = "[...document.querySelectorAll('input[type=range]')]"
        named = f"each.offsetParent && each.ariaLabel.includes({json.dumps(label)})"
        self.until(f"!!{ranges}.find(each => {named})")
        self.run(f"{ranges}.find(each => {named}).focus()")
        for _ in range(abs(steps)):
            self.key("ArrowRight" if steps > 0 else "ArrowLeft")

    def tick(self, text):
        """A box of a group, by how its text begins."""
        labels = "[...document.querySelectorAll('label')]"
        begins = f"each.offsetParent && each.textContent.trim().startsWith({json.dumps(text)})"
        self.click(f"{labels}.find(each => {begins} && each.querySelector('input'))")

    def choose_file(self, label, path):
        """A file for a place where an image can be dropped."""
        field = "[...document.querySelectorAll('.block')].filter(each => each.offsetParent && "
        field += f"each.querySelector('label')?.textContent.trim() === {json.dumps(label)})"
        field += ".at(-1).querySelector('input[type=file]')"
        self.until(f"!!({field})")
        node = self.call("Runtime.evaluate", expression=field)["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[path], objectId=node)

    def click_picture(self, name, x, y):
        """A mouse on a pixel of a picture, whatever its size on the screen."""
        image = f"document.querySelector('#{name} img')"
        self.until(f"!!{image} && {image}.naturalWidth > 0")
        self.run(f"{image}.scrollIntoView({{block: 'center'}})")
        time.sleep(0.1)
        shape = "[b.x, b.y, b.width, b.height, i.naturalWidth, i.naturalHeight]"
        left, top, width, height, across, down = self.run(
            f"(i => (b => {shape})(i.getBoundingClientRect()))({image})"
        )
        scale = min(1, width / across, height / down)
        left, top = left + (width - across * scale) / 2, top + (height - down * scale) / 2
        self.click_at(left + (x + 0.2) * scale, top + (y + 0.2) * scale)  # Gradio rounds

    def controls(self, roles):
        """Role and name of what can be operated, as programs that read a page aloud are told."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node.get("ignored") and "role" in node]
        named = [(each["role"]["value"], each.get("name", {}).get("value", "")) for each in seen]
        return [(role, name.strip()) for role, name in named if role in roles]

    def tabbed_through(self):
        """How many elements the Tab key comes to, in one turn through the page."""
        self.run("document.querySelectorAll('[data-stop]').forEach(e => delete e.dataset.stop)")
        new = "e !== document.body && !e.dataset.stop && !!(e.dataset.stop = 1)"
        count = misses = 0
        while misses < 3:
            self.key("Tab")
            found = self.run(f"(e => {new})(document.activeElement)")
            count, misses = count + found, 0 if found else misses + 1
        return count

    def tab_to(self, label, kind=""):
        """Press Tab until it is at what is called so."""
        name = "(e.ariaLabel || e.labels?.[0]?.innerText || e.textContent).trim()"
        here = (
            f"{name}.includes({json.dumps(label)})" if kind else f"{name} === {json.dumps(label)}"
        )
        for _ in range(200):
            self.key("Tab")
            if self.run(
                f"(e => {here} && (e.type ?? '').includes('{kind}'))(document.activeElement)"
            ):
                return
        raise AssertionError(f"the Tab key does not come to {label}")

    def write(self, text):
        """Over what is in the field that the keys go to, and out of it."""
        self.run("document.activeElement.select()")
        self.call("Input.insertText", text=str(text))
        self.key("Tab")

    def drag(self, place, start, end, done, seconds=60):
        """A stroke over the picture that is drawn on, from one place of it to another, y and x."""
        area, stop = f"document.querySelector('{place} canvas')", time.monotonic() + seconds
        self.until(f"!!{area} && {area}.closest('.block').innerText.includes('%')", seconds)
        while not done():  # what is drawn before the picture is there is lost
            assert time.monotonic() < stop, f"nothing is drawn in {place}"
            self.run(f"{area}.scrollIntoView({{block: 'center'}})")
            time.sleep(3)  # until it stands still
            box = f"({area}).getBoundingClientRect()"
            left, top, width, height = self.run(f"(b => [b.x, b.y, b.width, b.height])({box})")
            side = min(width, height) - 60  # the picture stands in the middle, within a margin
            ways = [
                [a + (b - a) * i / 20 for i in range(21)] for a, b in zip(start, end, strict=True)
            ]
            points = [
                (left + width / 2 + (x - 0.5) * side, top + height / 2 + (y - 0.5) * side)
                for y, x in zip(*ways, strict=True)
            ]
            for kind, at in (
                ("mouseMoved", points[0]),
                ("mousePressed", points[0]),
                *(("mouseMoved", point) for point in points),
                ("mouseReleased", points[-1]),
            ):
                held = {"button": "left", "buttons": 1, "clickCount": 1}
                self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **held)
            for _ in range(30):
                if done():
                    return
                time.sleep(0.2)

    def sent(self, name):
        """The bytes of the picture that is shown, as they were sent; None = no picture."""
        source = self.run(f"document.querySelector('#{name} img')?.src ?? ''")
        if not source.startswith("http://127.0.0.1"):
            return None
        with urlopen(source, timeout=30) as answer:
            return answer.read()

    def shows(self, name, view, seconds=60):
        """Wait until the picture is this view, to the byte."""
        end = time.monotonic() + seconds
        while self.sent(name) != view.png:
            assert time.monotonic() < end, f"{name} does not become: {view.facts}"
            time.sleep(0.1)

    def says(self, text, seconds=30):
        """Wait for a text, in a field or outside of them."""
        fields = "[...document.querySelectorAll('textarea')].map(each => each.value)"
        said = f"[document.body.innerText, ...{fields}]"
        self.until(f"{said}.some(each => each.includes({json.dumps(text)}))", seconds)

    def outside(self):
        """Addresses asked for, answered or not, and hosts looked for, that are not this machine's.

        The browser's own log has what no request says: hosts that a page names to be found ahead,
        and what was blocked.
        """
        lines = self.log.read_text(errors="replace").splitlines()
        asked = [each for line in lines if ASKED in line for each in re.findall(URL, line)]
        found = [each for line in lines if FOUND in line for each in re.findall(HOST, line)]
        hosts = {host.split("//")[-1].rpartition(":")[0] or host.split("//")[-1] for host in found}
        urls = [url for url in (*self.requests(), *asked) if not url.startswith(INNER)]
        return [*urls, *(hosts - {"127.0.0.1", *BROWSERS_OWN})]
