"""The other proxies and the service behind all of them, set up as their manuals advise for this job.

`plain` ends TLS and forwards. `full` checks the session token (signature, algorithm, expiry), asks a path rule, names
the user to the service behind, and writes one JSON line per request to a file.
"""

import material
from processes import Program

BACKEND = """daemon off; worker_processes 1; worker_rlimit_nofile 20000; error_log stderr crit; pid {folder}/backend.pid;
events {{ worker_connections 8000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; default_type text/plain;
  client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2; fastcgi_temp_path {folder}/b3;
  uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{answer}"; }} }}
}}
"""

NGINX = """daemon off; worker_processes 1; worker_rlimit_nofile 20000; error_log stderr crit; pid {folder}/nginx.pid;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 0;
  client_body_temp_path {folder}/p1; proxy_temp_path {folder}/p2; fastcgi_temp_path {folder}/p3;
  uwsgi_temp_path {folder}/p4; scgi_temp_path {folder}/p5;
  upstream app {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_cache shared:S:10m;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_request_buffering off;
    }}
  }}
}}
"""

HAPROXY = """global
    nbthread 1
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

RULES = """    log global
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


def start_backend(folder, port, cpus):
    """The service behind: 1 KiB of text for every request, keep-alive."""
    config = folder / "backend.conf"
    config.write_text(BACKEND.format(folder=folder, port=port, answer="x" * 1024))
    program = Program(["nginx", "-p", folder, "-e", "stderr", "-c", config], cpus, folder / "backend.log")
    program.wait_for_port(port)
    return program


class Running:
    """A proxy that answers: its program, its port, and the headers that let a request pass."""

    def __init__(self, program, port, cookie=None, written=None):
        self.program, self.port, self.cookie = program, port, cookie
        # How many requests it has written down; `None` for those that write nothing.
        self.written = written

    def stop(self):
        self.program.stop()


def count_lines(path):
    lines = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
    return lines


class Nginx:
    name, job = "nginx", "plain"

    def start(self, site):
        text = NGINX.format(folder=site.folder, port=site.port, backend=site.backend, cert=site.material / "cert.pem",
                            key=site.material / "key.pem")
        (site.folder / "nginx.conf").write_text(text)
        command = ["nginx", "-p", site.folder, "-e", "stderr", "-c", site.folder / "nginx.conf"]
        program = Program(command, site.cpus, site.folder / "log")
        program.wait_for_port(site.port)
        return Running(program, site.port)


class Haproxy:
    def __init__(self, full):
        self.full = full
        self.name, self.job = ("haproxy-full", "full") if full else ("haproxy", "plain")

    def start(self, site):
        secret = material.secret()
        rules = RULES.format(secret=secret) if self.full else ""
        log = "    log stdout format raw local0 info" if self.full else ""
        text = HAPROXY.format(port=site.port, backend=site.backend, both=site.material / "both.pem", rules=rules, log=log)
        config = site.folder / "haproxy.cfg"
        config.write_text(text)
        config.chmod(0o600)
        program = Program(["haproxy", "-db", "-f", config], site.cpus, site.folder / "log")
        program.wait_for_port(site.port)
        if not self.full:
            return Running(program, site.port)
        cookie = f"session={material.token(secret)}"
        return Running(program, site.port, cookie, lambda: count_lines(site.folder / "log"))
