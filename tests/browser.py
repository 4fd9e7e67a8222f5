"""A headless Chromium driven over its own pipe: real keys, real time, every request seen."""

import json
import os
import queue
import subprocess
import threading
import time

from headless import CHROMIUM, FLAGS

CODES = {"Tab": 9, "Enter": 13}  # keys that do something of their own


class Browser:
    """`with Browser(folder) as b: b.open(path); b.run("1 + 1"); b.key("ArrowLeft")`."""

    def __init__(self, folder, width=900, height=700, more=()):
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        to_read, self.send_to = os.pipe()
        self.read_from, to_write = os.pipe()
        flags = [
            *FLAGS,
            *more,
            f"--window-size={width},{height}",
            f"--user-data-dir={folder / 'profile'}",
        ]
        shell = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'  # its debugging pipe is 3 and 4
        self.process = subprocess.Popen(
            ["bash", "-c", shell, CHROMIUM, *flags, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self.messages, self.events, self.count, self.session = queue.Queue(), [], 0, None
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        os.close(self.send_to)

    def listen(self):
        rest = b""
        while chunk := os.read(self.read_from, 1 << 20):
            *whole, rest = (rest + chunk).split(b"\0")
            for message in whole:
                self.messages.put(json.loads(message))

    def call(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self.session
        os.write(self.send_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.messages.get(timeout=60)
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, path):
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete'")

    def run(self, script):
        """The value of an expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script, seconds=30):
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, script
            time.sleep(0.02)

    def key(self, name):
        more = {"windowsVirtualKeyCode": CODES[name]} if name in CODES else {}
        more |= {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, **more)

    def tap(self, selector):
        """A finger on the middle of an element, scrolled to where it must be."""
        self.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'nearest'}})")
        box = f"document.querySelector('{selector}').getBoundingClientRect()"
        x, y = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def requests(self):
        """Addresses that the page asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]
