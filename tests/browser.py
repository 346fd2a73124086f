"""A headless Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

import base64
import importlib.util
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType

CHROMIUM = shutil.which("chromium")
PACKAGES = ("websocket", "axe_playwright_python")
PATIENCE = 60  # seconds for one answer, on a busy machine


def missing() -> str:
    """What is not installed of that which these tests need; empty if all is there."""
    if CHROMIUM is None:
        return "no chromium here (Debian package chromium)"
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"no {' and '.join(lacking)} here: pip install --no-deps -r envs/browser.txt" if lacking else ""


def axe() -> str:
    """The source of the accessibility checker."""
    return Path(importlib.util.find_spec("axe_playwright_python").origin).with_name("axe.min.js").read_text()


class Browser:
    """One page of a browser of its own."""

    def __init__(self, profile: Path) -> None:
        import websocket

        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
        self.process = subprocess.Popen(
            [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file, end = profile / "DevToolsActivePort", time.time() + PATIENCE
        while not (port_file.is_file() and port_file.read_text().strip()):
            assert time.time() < end and self.process.poll() is None, "chromium does not start"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=PATIENCE, suppress_origin=True)
        self.sent, self.complaints = 0, []
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)

    def send(self, method: str, **params: object) -> dict:
        """Send a command and return its answer; what the page complains about meanwhile is kept."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.complaints.append(message["params"])
            if message.get("id") == self.sent:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, page: Path, width: int = 1280, scheme: str = "light", media: str = "", anchor: str = "") -> None:
        """Open a file in a window of this width, as a screen or as paper, and wait until it is there."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=f"{page.as_uri()}{anchor}")
        end = time.time() + PATIENCE
        while not self.run("location.protocol === 'file:' && document.readyState === 'complete'"):
            assert time.time() < end, "the page does not load"
            time.sleep(0.1)

    def run(self, script: str) -> object:
        """The value of an expression in the page, awaited."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key: Tab, ArrowRight, Enter."""
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def pdf(self, width: float, height: float) -> bytes:
        """The page printed on paper of this size in inches, with the margins that it asks for."""
        data = self.send("Page.printToPDF", paperWidth=width, paperHeight=height, printBackground=True)["data"]
        return base64.b64decode(data)
