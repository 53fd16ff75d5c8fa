"""What the proxies need: one certificate for all of them, and the session token of the peers. Fresh for every run."""

import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import time

APP = "localhost"
PORTAL = "login.test"


def make(folder):
    """ECDSA P-256, for the app's host, the portal's and those of large set-ups; also both in one file, as HAProxy wants it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", f"/CN={APP}",
                    "-addext", f"subjectAltName=DNS:{APP},DNS:{PORTAL},DNS:*.example.com"], check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    for name in ("key.pem", "both.pem"):
        (folder / name).chmod(0o600)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret):
    """A session token as identity providers give out: HS256, about 300 bytes of claims."""
    now = int(time.time())
    claims = {"iss": "bench", "sub": "alice@example.com", "role": "user", "aud": "bench", "iat": now, "exp": now + 86400,
              "jti": "0b3f7c1e-6c0c-4d64-9e62-0d6f6f9a1c55", "groups": ["staff", "engineering", "vpn"],
              "name": "Alice Example"}
    head = base64url(b'{"alg":"HS256","typ":"JWT"}')
    body = base64url(json.dumps(claims, separators=(",", ":")).encode())
    tag = hmac.digest(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64url(tag)}"


def secret():
    return secrets.token_hex(20)
