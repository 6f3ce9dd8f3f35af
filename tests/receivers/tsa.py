"""A time stamping authority (RFC 3161) made of `openssl ts`.

usage: tsa.py PORT FOLDER [--stale]

FOLDER has tsa.cnf, tsa.pem, tsa.key and ca.pem. With --stale every question gets the answer to the first one.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

folder = Path(sys.argv[2])
first = None


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        global first
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/timestamp-query", self.headers
        (folder / "query.tsq").write_bytes(body)
        stamp = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query.tsq", "-out", "reply.tsr"]
        subprocess.run(stamp, cwd=folder, check=True, capture_output=True)
        reply = (folder / "reply.tsr").read_bytes()
        first = first or reply
        if "--stale" in sys.argv:
            reply = first
        self.send_response(200)
        self.send_header("content-type", "application/timestamp-reply")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("ready", flush=True)
server.serve_forever()
