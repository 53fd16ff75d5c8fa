"""What Python believes a request's path to be: the answer is the target as it arrived, a line feed, and the path that
http.server hands to programs, decoded. Arguments: port, file of seen targets."""

import http.server
import sys
import urllib.parse

port, seen = sys.argv[1:]


class Reader(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # `self.path` has lost what http.server takes for a mistake; the request line has not.
        target = self.requestline.split(" ")[1]
        with open(seen, "a", encoding="latin-1") as file:
            file.write(target + "\n")
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        answer = f"{target}\n{path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Reader).serve_forever()
