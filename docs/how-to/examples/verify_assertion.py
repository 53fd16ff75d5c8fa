"""Verifies X-Portcullis-Assertion: as a function for Python services, as a small server for nginx's auth_request.

python3 verify_assertion.py --portal https://login.example.com --audience grafana --listen 127.0.0.1:9180
"""

import argparse
import http.server
import ssl

import jwt  # PyJWT 2 with its extra "crypto"


class Verifier:
    """Who is asking, or nobody. The keys are fetched once and again when an assertion names a key that is new."""

    def __init__(self, portal, audience, ca=None):
        trust = ssl.create_default_context(cafile=ca)
        self.keys = jwt.PyJWKClient(f"{portal}/.well-known/portcullis/jwks.json", ssl_context=trust)
        self.portal, self.audience = portal, audience

    def verify(self, assertion):
        """The claims of the person, or None: then answer 401."""
        try:
            if jwt.get_unverified_header(assertion).get("typ") != "portcullis-assertion+jwt":
                return None
            return jwt.decode(
                assertion,
                self.keys.get_signing_key_from_jwt(assertion).key,
                algorithms=["ES256"],
                audience=self.audience,
                issuer=self.portal,
                leeway=5,
                options={"require": ["exp", "nbf", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--portal", required=True, help="origin of the portal")
    words.add_argument("--audience", required=True, help="name of the route")
    words.add_argument("--ca", help="file with the authority of the portal's certificate, if it is your own")
    words.add_argument("--listen", default="127.0.0.1:9180")
    given = words.parse_args()
    verifier = Verifier(given.portal, given.audience, given.ca)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            claims = verifier.verify(self.headers.get("X-Portcullis-Assertion", ""))
            self.send_response(204 if claims else 401)
            if claims:
                self.send_header("X-Verified-User", claims["email"])
            self.end_headers()

        def log_message(self, *_):
            pass  # nginx logs the request; an assertion belongs in no log

    host, port = given.listen.rsplit(":", 1)
    http.server.ThreadingHTTPServer((host, int(port)), Answer).serve_forever()


if __name__ == "__main__":
    main()
