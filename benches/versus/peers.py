"""The other proxies, set up as their manuals advise for this job.

`plain` ends TLS and forwards. `full` checks the session token (signature, algorithm, expiry), asks a path rule, names
the user to the service behind, and writes one JSON line per request to a file. HAProxy does that by itself, nginx asks a
service (`auth_request`), which counts as part of it.
"""

import material
from processes import Program, free_port

NGINX = """daemon off; worker_processes {workers}; worker_rlimit_nofile 20000; error_log stderr crit; pid {folder}/nginx.pid;
events {{ worker_connections 16000; }}
http {{
{log}
  keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0;
  client_body_temp_path {folder}/p1; proxy_temp_path {folder}/p2; fastcgi_temp_path {folder}/p3;
  uwsgi_temp_path {folder}/p4; scgi_temp_path {folder}/p5;
  map $http_upgrade $onward {{ default upgrade; '' ''; }}
  upstream app {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}
{auth_upstream}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_cache shared:S:10m;
{auth_location}
    location / {{
{auth}
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection $onward;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""

NGINX_LOG = """  log_format entry escape=json '{{"ts":$msec,"client":"$remote_addr:$remote_port","method":"$request_method",'
    '"path":"$uri","status":$status,"bytes":$body_bytes_sent,"s":$request_time,"sub":"$user"}}';
  access_log {folder}/entries.log entry; open_log_file_cache max=4;"""

NGINX_ASKED = "  upstream authservice {{ server 127.0.0.1:{service}; keepalive 512; keepalive_requests 1000000000; }}"

NGINX_ASK = """    location = /_auth {
      internal; proxy_pass http://authservice; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Content-Length ""; proxy_pass_request_body off; proxy_set_header X-Original-URI $request_uri;
    }"""

NGINX_MUST = """      auth_request /_auth; auth_request_set $user $upstream_http_x_user; proxy_set_header X-User $user;"""

HAPROXY = """global
    nbthread {workers}
    maxconn 9500
    ssl-default-bind-options ssl-min-ver TLSv1.3
    tune.ssl.cachesize 100000
{log}
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    option http-keep-alive
frontend door
    bind 127.0.0.1:{port} ssl crt {both} alpn h2,http/1.1 backlog 4096
    option forwardfor
{rules}
    default_backend app
backend app
    http-reuse always
    server one 127.0.0.1:{backend}
"""

HAPROXY_RULES = """    log global
    log-format '{{"ts":%Ts.%ms,"client":"%ci:%cp","method":"%HM","path":"%HP","status":%ST,"bytes":%B,"ms":%Ta,"sub":"%[var(txn.sub)]"}}'
    http-request set-var(txn.tok) req.cook(session)
    http-request set-var(txn.alg) var(txn.tok),jwt_header_query('$.alg')
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str HS256 }}
    http-request deny deny_status 401 unless {{ var(txn.tok),jwt_verify(txn.alg,"{secret}") -m int 1 }}
    http-request set-var(txn.exp) var(txn.tok),jwt_payload_query('$.exp','int')
    http-request set-var(txn.sub) var(txn.tok),jwt_payload_query('$.sub')
    http-request set-var(txn.role) var(txn.tok),jwt_payload_query('$.role')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 403 if {{ path_beg /admin }} !{{ var(txn.role) -m str admin }}
    http-request set-header X-User %[var(txn.sub)]"""


class Running:
    """A proxy that answers: its programs, its port, and the cookie that lets a request pass."""

    def __init__(self, programs, port, cookie=None, written=None):
        self.programs, self.port, self.cookie = programs, port, cookie
        # How many requests it has written down; `None` for those that write nothing.
        self.written = written

    def cpu(self):
        """User and kernel seconds so far, of everything that belongs to it."""
        spent = [program.cpu() for program in self.programs]
        return sum(user for user, _ in spent), sum(system for _, system in spent)

    def memory(self):
        """Resident and proportional KiB (RSS, PSS)."""
        held = [program.memory() for program in self.programs]
        return sum(rss for rss, _ in held), sum(pss for _, pss in held)

    def stop(self):
        for program in self.programs:
            program.stop()


def count_lines(path):
    lines = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    return lines


class Nginx:
    """The auth service of `full` is as light as can be; a real one can only cost more."""

    def __init__(self, full, tool):
        self.full, self.tool = full, tool
        self.name, self.job = ("nginx-auth", "full") if full else ("nginx", "plain")

    def start(self, site):
        programs, secret = [], material.secret()
        parts = dict.fromkeys(("auth_upstream", "auth_location", "auth"), "")
        parts["log"] = "  access_log off;"
        try:
            if self.full:
                service = free_port()
                asked = Program([self.tool, "authservice", "--listen", f"127.0.0.1:{service}", "--secret", secret], site.cpus,
                                site.folder / "authservice.log")
                programs.append(asked)
                asked.wait_for_port(service)
                (site.folder / "entries.log").unlink(missing_ok=True)
                parts = {"log": NGINX_LOG.format(folder=site.folder), "auth_upstream": NGINX_ASKED.format(service=service),
                         "auth_location": NGINX_ASK, "auth": NGINX_MUST}
            config = site.folder / "nginx.conf"
            config.write_text(NGINX.format(folder=site.folder, port=site.port, backend=site.backend, workers=site.workers,
                                           cert=site.material / "cert.pem", key=site.material / "key.pem", **parts))
            programs.append(Program(["nginx", "-p", site.folder, "-e", "stderr", "-c", config], site.cpus, site.folder / "log"))
            programs[-1].wait_for_port(site.port)
        except BaseException:
            Running(programs, site.port).stop()
            raise
        if not self.full:
            return Running(programs, site.port)
        cookie = f"session={material.token(secret)}"
        return Running(programs, site.port, cookie, lambda: count_lines(site.folder / "entries.log"))


class Haproxy:
    def __init__(self, full):
        self.full = full
        self.name, self.job = ("haproxy-full", "full") if full else ("haproxy", "plain")

    def start(self, site):
        secret = material.secret()
        rules = HAPROXY_RULES.format(secret=secret) if self.full else ""
        log = "    log stdout format raw local0 info" if self.full else ""
        config = site.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=site.port, backend=site.backend, both=site.material / "both.pem", rules=rules,
                                         log=log, workers=site.workers))
        config.chmod(0o600)
        program = Program(["haproxy", "-db", "-f", config], site.cpus, site.folder / "log")
        try:
            program.wait_for_port(site.port)
        except BaseException:
            program.stop()
            raise
        if not self.full:
            return Running([program], site.port)
        cookie = f"session={material.token(secret)}"
        return Running([program], site.port, cookie, lambda: count_lines(site.folder / "log"))
