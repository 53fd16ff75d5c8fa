"""Portcullis, set up as an operator would: a configuration file, an imported person, a sign-in through the pages."""

import base64
import json
import subprocess
import time

import material
from browser import Browser
from peers import Running
from processes import Program

READY = "portcullis.ready"
LOGIN, PASSWORD = "alice", "tulip anvil 47 marmalade"

CONFIG = """[server]
portal = "{portal}:{port}"
listen = ["127.0.0.1:{port}"]
http_redirect = []
workers = {workers}
admin_socket = "data/admin.sock"
max_connections_per_address = 20000

[server.limits]
# One load generator stands for thousands of people, so the limit per address is lifted; it is still counted.
address_rate = "100000000/1s"
address_burst = 100000000

{process}[tls]
files = [{{ cert = "{cert}", key = {{ file = "{key}" }} }}]

[storage]
database = "sqlite:data/portcullis.db"
master_key = {{ file = "data/master.key" }}

[telemetry]
operations = "127.0.0.1:{operations}"

[audit]
folder = "data/audit"
durability = "{durability}"

{routes}"""

UNCONFINED = """[process]
landlock = "off"
seccomp = "off"

"""

ONE_ROUTE = """[route.app]
host = "{host}"
to = "http://127.0.0.1:{backend}"
allow = ["group:staff"]
"""

RULE = """@id("app.admin")
@reason("The administration area is limited to administrators.")
forbid (principal, action, resource == Route::"app")
when {{ context.request.path like "/admin/*" }}
unless {{ principal in Group::"admins" }};
"""


def private(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def write_config(folder, site, routes, durability="process", process=""):
    """The configuration file, for the ports of `site`."""
    text = CONFIG.format(portal=material.PORTAL, port=site.port, operations=site.operations, workers=site.workers,
                         cert=site.material / "cert.pem", key=site.material / "key.pem", durability=durability,
                         process=process, routes=routes)
    private(folder / "portcullis.toml", text)


def command(binary, folder, *args):
    """Runs one command in the site's folder; fails with what it said."""
    done = subprocess.run([str(binary), *args], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"portcullis {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Portcullis:
    """The whole job: session, policy, limits, journal, sealed and hashed entry, signed identity."""

    job = "full"

    def __init__(self, binary, durability, process=""):
        self.name = "portcullis" if durability == "process" else f"portcullis-{durability}"
        self.name += "-unconfined" if process else ""
        self.process = process
        self.binary, self.durability = binary, durability
        self.cookie = None

    def prepare(self, site):
        """Writes the rules and imports the person; done once."""
        private(site.folder / "policies/app.cedar", RULE.format())
        secret = LOGIN.encode() * 4
        person = {"name": LOGIN, "email": f"{LOGIN}@example.com", "groups": ["staff", "engineering", "vpn"],
                  "password": PASSWORD, "totp_secret": base64.b32encode(secret).decode()}
        private(site.folder / "people.jsonl", json.dumps(person) + "\n")
        command(self.binary, site.folder, "user", "import", "people.jsonl")
        return secret

    def start(self, site):
        """Starts, and signs in on the first start; the session outlives the process."""
        routes = ONE_ROUTE.format(host=material.APP, backend=site.backend)
        write_config(site.folder, site, routes, self.durability, self.process)
        secret = None if self.cookie else self.prepare(site)
        begun = time.monotonic()
        program = Program([self.binary, "run"], site.cpus, site.folder / "log", site.folder)
        try:
            program.wait_for_line(READY)
            running = Running([program], site.port)
            running.ready = time.monotonic() - begun
            if secret is not None:
                self.sign_in(site, secret)
            running.cookie = self.cookie
            before = entries(site)
            running.written = lambda: entries(site) - before
        except BaseException:
            program.stop()
            raise
        return running

    def sign_in(self, site, secret):
        browser = Browser(site.port, site.material / "cert.pem")
        browser.sign_in(f"https://{material.APP}:{site.port}/", LOGIN, PASSWORD, secret)
        jar = browser.jars[material.APP]
        name = "__Host-portcullis"
        if name not in jar:
            raise RuntimeError(f"signed in, but no session cookie: {list(jar)}")
        self.cookie = f"{name}={jar[name]}"

    def verify(self, site):
        """The proof that everything measured was really written down."""
        return command(self.binary, site.folder, "audit", "verify").strip().splitlines()


def entries(site):
    """Lines in the audit log."""
    total = 0
    for segment in (site.folder / "data/audit").rglob("*.jsonl"):
        with open(segment, "rb") as file:
            while block := file.read(1 << 20):
                total += block.count(b"\n")
    return total
