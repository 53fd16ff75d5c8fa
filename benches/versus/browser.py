"""Signs a person in as their browser would: password, code, and the way back to the app."""

import hashlib
import hmac
import http.client
import socket
import ssl
import struct
import time
import urllib.parse
from html.parser import HTMLParser

REDIRECTS = (301, 302, 303, 307, 308)


def code(secret, step):
    """TOTP (RFC 6238): SHA-1, six digits, 30 s."""
    digest = hmac.digest(secret, struct.pack(">Q", step), hashlib.sha1)
    at = digest[19] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


class Forms(HTMLParser):
    """The forms of a page: action and fields."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.found.append((given.get("action", ""), {}))
        elif tag in ("input", "button") and self.found and given.get("name"):
            if given.get("type") in ("radio", "checkbox") and "checked" not in given:
                return
            self.found[-1][1].setdefault(given["name"], given.get("value") or "")

    def with_field(self, name):
        return next(((action, fields) for action, fields in self.found if name in fields), None)


class Browser:
    """Cookies by host; every host is reached at 127.0.0.1 under its own name."""

    def __init__(self, port, certificate):
        self.port = port
        self.context = ssl.create_default_context(cafile=certificate)
        self.jars = {}

    def request(self, method, url, form=None):
        parts = urllib.parse.urlsplit(url)
        host, authority = parts.hostname, parts.netloc
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        headers = {"Host": authority, "Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
                   "Sec-Fetch-Site": "same-origin", "User-Agent": "Mozilla/5.0 (measurement)"}
        jar = self.jars.setdefault(host, {})
        if jar:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{authority}"}
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sock = self.context.wrap_socket(plain, server_hostname=host)
        try:
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        for pair, _, attributes in (value.partition(";") for value in answer.headers.get_all("Set-Cookie") or []):
            name, _, value = pair.partition("=")
            if "max-age=0" in attributes.lower():
                jar.pop(name, None)
            else:
                jar[name] = value
        return answer.status, answer.headers.get("Location"), text, url

    def open(self, url, form=None):
        """Opens a page and follows redirects; gives status, text and address of the last."""
        method = "GET" if form is None else "POST"
        for _ in range(12):
            status, location, text, url = self.request(method, url, form)
            if status not in REDIRECTS:
                return status, text, url
            method, form, url = "GET", None, urllib.parse.urljoin(url, location)
        raise RuntimeError(f"too many redirects, last to {url}")

    def fill(self, page, name, values):
        status, text, url = page
        found = Forms(text).with_field(name)
        if found is None:
            raise RuntimeError(f"no form with {name!r} at {url} ({status}):\n{text[:1500]}")
        action, fields = found
        return self.open(urllib.parse.urljoin(url, action), fields | values)

    def sign_in(self, url, login, password, secret):
        """Both steps, starting where `url` sends a stranger; gives the status of the page that follows."""
        page = self.fill(self.open(url), "password", {"name": login, "password": password})
        page = self.fill(page, "code", {"code": code(secret, int(time.time()) // 30)})
        if page[0] != 200:
            raise RuntimeError(f"sign-in ended with {page[0]} at {page[2]}:\n{page[1][:1500]}")
