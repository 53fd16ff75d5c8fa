"""Drives Chromium through a person's first day: enrolment, launcher, app, denied, step-up, sign out.

Called by tests/it/browser.rs with one JSON object on standard input; prints what it checked and fails with the page's
text when something is not as it should be. Only what a person can see or do is used: visible text, links, keys.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 30
PASSWORD = "seven brown bears at sea"
NARROWEST = 320
SIZES = {390: 844, 1280: 900}
STEP = 30


class Journey:
    def __init__(self, task, scripts=True):
        self.task = task
        self.shots = pathlib.Path(task["screenshots"])
        self.shots.mkdir(parents=True, exist_ok=True)
        self.profile = tempfile.TemporaryDirectory(prefix="portcullis-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = task["chromium"]
        for flag in [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={self.profile.name}", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--no-default-browser-check", "--disable-extensions",
            "--disable-features=OptimizationHints,MediaRouter,Translate,PasswordLeakDetection",
            "--ignore-certificate-errors", "--host-resolver-rules=MAP *.test 127.0.0.1", "--lang=en",
        ]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(task["chromedriver"]), options=options)
        self.driver.set_page_load_timeout(PATIENCE)
        if not scripts:
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        self.size(1280)

    def close(self):
        self.driver.quit()
        self.profile.cleanup()

    # What a person sees.

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def sees(self, *texts):
        """Waits until all `texts` are visible."""
        def all_there(_):
            try:
                return all(text in self.text() for text in texts)
            except Exception:  # the page is being replaced
                return False
        try:
            WebDriverWait(self.driver, PATIENCE).until(all_there)
        except Exception:
            raise AssertionError(f"{texts} not on {self.driver.current_url}:\n{self.text()}") from None

    def misses(self, text):
        assert text not in self.text(), f"{text!r} is on {self.driver.current_url}:\n{self.text()}"

    # What a person does.

    def open(self, url):
        self.driver.get(url)

    def press(self, label):
        for element in self.driver.find_elements(By.CSS_SELECTOR, "button, a"):
            if element.is_displayed() and element.text.strip() == label:
                element.click()
                return
        raise AssertionError(f"nothing to press says {label!r}:\n{self.text()}")

    def fill(self, label, value):
        for element in self.driver.find_elements(By.TAG_NAME, "label"):
            if element.is_displayed() and element.text.strip() == label:
                field = self.driver.find_element(By.ID, element.get_attribute("for"))
                field.clear()
                field.send_keys(value)
                return
        raise AssertionError(f"no field is labelled {label!r}:\n{self.text()}")

    def type(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    # What the page is.

    def size(self, width):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": SIZES.get(width, 700), "deviceScaleFactor": 1, "mobile": False})

    def colours(self, scheme):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme},
                         {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def looks_right(self, name):
        """No sideways scrolling at any width; a picture of each width and colour scheme."""
        for width in [NARROWEST, *SIZES]:
            self.size(width)
            metrics = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
            content = metrics["cssContentSize"]["width"]
            assert content <= width, f"{name} is {content} wide in a window of {width}"
            if width not in SIZES:
                continue
            for scheme in ["light", "dark"]:
                self.colours(scheme)
                height = max(metrics["cssContentSize"]["height"], SIZES[width])
                shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {
                    "captureBeyondViewport": True,
                    "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
                (self.shots / f"{name}-{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
        self.colours("light")
        self.size(1280)
        self.quiet(name)
        print(f"page {name}")

    def quiet(self, name):
        """Nothing in the console but what the network says about statuses we asked for."""
        said = [entry for entry in self.driver.get_log("browser")
                if "Failed to load resource: the server responded with a status of" not in entry["message"]]
        assert not said, f"{name}: {said}"


class Codes:
    """A code app: never shows one code twice."""

    def __init__(self, secret):
        self.key = base64.b32decode(secret + "=" * (-len(secret) % 8))
        self.last = 0

    def next(self):
        now = int(time.time()) // STEP
        step = max(self.last + 1, now)
        # The server accepts one step ahead of time.
        while step > int(time.time()) // STEP + 1:
            time.sleep(0.2)
        self.last = step
        digest = hmac.new(self.key, struct.pack(">Q", step), hashlib.sha1).digest()
        at = digest[19] & 15
        return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def enrol(one, task):
    one.open(task["link"])
    one.sees("Welcome, ", "You sign in as", task["login"])
    one.looks_right("01-welcome")
    one.press("This is me, begin")

    one.sees("Choose a password", "At least 12 characters")
    one.looks_right("02-password")
    one.fill("New password", "password1234")
    one.fill("The same once more", "password1234")
    one.press("Go on")
    one.sees("Choose a password", "common")
    one.looks_right("03-password-refused")
    one.fill("New password", PASSWORD)
    one.fill("The same once more", PASSWORD)
    one.press("Go on")

    one.sees("Add your authenticator app", "type this secret")
    one.looks_right("04-second-factor")
    secret = one.driver.find_element(By.CSS_SELECTOR, "code.secret").text.replace(" ", "")
    codes = Codes(secret)
    one.fill("Code", codes.next())
    one.press("Confirm")

    one.sees("Your recovery codes", "They are shown only now")
    recovery = [item.text for item in one.driver.find_elements(By.CSS_SELECTOR, "ol.codes code")]
    assert len(set(recovery)) == 10, recovery
    one.looks_right("05-recovery-codes")
    one.driver.find_element(By.ID, "stored").click()
    one.press("Finish")
    return codes, recovery


def work(one, task, codes):
    one.sees("Notes")
    one.looks_right("06-launcher")
    one.press("Notes")
    one.sees("upstream notes /")

    talks(one)

    one.open(task["payroll"])
    one.sees("Why", "For the help desk", "Request", "r-")
    one.looks_right("07-denied")

    # The rule wants a second factor that is younger than a few seconds; it is asked for as soon as ours is older.
    deadline = time.time() + PATIENCE
    while "upstream notes" in (one.open(task["guarded"]) or one.text()):
        assert time.time() < deadline, "never asked to confirm"
        time.sleep(0.5)
    if "Confirm with your code" in one.text():
        one.looks_right("08-confirm-asked")
        one.press("Confirm with your code")
    one.sees("Confirm to go on", "You asked for")
    one.looks_right("09-confirm")
    one.fill("Code", codes.next())
    one.press("Confirm")
    one.sees("upstream notes /admin")

    one.open(task["portal"] + "account/sessions")
    one.sees("My sessions", "this one")
    one.looks_right("10-sessions")
    one.open(task["portal"] + "account/recovery-codes")
    one.sees("Recovery codes", "10 of 10 left")
    one.looks_right("11-recovery-codes")
    for name, address, text in [
        ("12-not-found", task["portal"] + "nothing-here", "404"),
        ("13-upstream-gone", task["gone"], "502"),
    ]:
        one.open(address)
        one.sees(text)
        one.looks_right(name)


def talks(one):
    """A page of an app opens a WebSocket, which goes over the page's own HTTP/2 connection."""
    said = one.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        const socket = new WebSocket("wss://" + location.host + "/socket");
        socket.onopen = () => done("open");
        socket.onclose = (event) => done("closed with " + event.code);
    """)
    assert said == "open", said
    print("a WebSocket")


def leave(one, task):
    one.open(task["portal"])
    one.sees("Notes")
    one.press("Sign out")
    one.sees("You are signed out")
    one.looks_right("14-signed-out")
    one.open(task["notes"])
    one.sees("Sign in", "Password")
    one.misses("upstream")
    one.looks_right("15-sign-in")


def wrong_password(one, task):
    one.fill("Name or email", task["login"])
    one.fill("Password", "not my password at all")
    one.press("Sign in")
    one.sees("Sign in", "do not match")
    one.looks_right("16-sign-in-refused")


def by_keyboard(one, task, codes):
    """Sign-in without touching a pointer: the fields have the focus where a person starts to type."""
    one.open(task["notes"])
    one.sees("Sign in", "Password")
    focused = one.driver.switch_to.active_element
    if focused.get_attribute("id") == "name":
        one.type(task["login"], Keys.TAB)
    one.type(PASSWORD, Keys.ENTER)
    one.sees("Confirm it is you")
    one.looks_right("17-second-factor")
    assert one.driver.switch_to.active_element.get_attribute("id") == "code"
    one.type(codes.next(), Keys.ENTER)
    one.sees("upstream notes /")
    print("sign-in by keyboard")


def without_scripts(task, recovery):
    one = Journey(task, scripts=False)
    try:
        one.open(task["notes"])
        one.sees("Sign in", "Password")
        one.fill("Name or email", task["login"])
        one.fill("Password", PASSWORD)
        one.press("Sign in")
        one.sees("Confirm it is you")
        one.driver.find_element(By.ID, "by-recovery").click()
        one.sees("Each one works once")
        one.looks_right("18-recovery-code")
        one.fill("Recovery code", recovery)
        one.press("Confirm")
        one.sees("upstream notes /")
        one.open(task["portal"])
        one.press("Sign out")
        one.sees("You are signed out")
        print("everything without scripts")
    finally:
        one.close()


def main():
    task = json.load(sys.stdin)
    one = Journey(task)
    try:
        codes, recovery = enrol(one, task)
        work(one, task, codes)
        leave(one, task)
        wrong_password(one, task)
        by_keyboard(one, task, codes)
    except Exception:
        one.driver.save_screenshot(str(one.shots / "failed.png"))
        print(f"at {one.driver.current_url}:\n{one.text()}", file=sys.stderr)
        raise
    finally:
        one.close()
    without_scripts(task, recovery[0])


main()
