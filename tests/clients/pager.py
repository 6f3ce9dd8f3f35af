"""A program that is told of calls that wait and brings back somebody's decision, both signed as Standard Webhooks says."""

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
import urllib.error
import urllib.request

from gateway import free_port


class Pager:
    """Started by `with`; says `word` of every call that it is told of, in the name of `person`."""

    def __init__(self, directory, person, word, why, after=0):
        self.key, self.decision_key = secrets.token_bytes(32), secrets.token_bytes(32)
        self.decision = {"word": word, "person": person, "reason": why}
        self.after = after
        self.told = []
        self.port = free_port()
        self.gateway = None
        for name, key in (("told", self.key), ("decides", self.decision_key)):
            (directory / name).write_text(base64.b64encode(key).decode())
        self.settings = {
            "outbound": {"private_hosts": [f"127.0.0.1:{self.port}"]},
            "notify": {
                "webhooks": [
                    {
                        "name": "pager",
                        "url": f"http://127.0.0.1:{self.port}/hook",
                        "arguments": True,
                        "secret": f"file:{directory / 'told'}",
                        "decision_secret": f"file:{directory / 'decides'}",
                    }
                ]
            },
        }

    def __enter__(self):
        pager = self

        class Listener(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                names = ("webhook-id", "webhook-timestamp", "webhook-signature")
                identifier, at, signature = (self.headers[name] for name in names)
                if signature != sign(pager.key, identifier, at, body):
                    raise PagerError(f"a message is not signed by the gateway: {signature}")
                self.send_response(204)
                self.end_headers()
                pager.hear(json.loads(body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Listener)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def hear(self, message):
        self.told.append(message)
        if message["type"] == "approval.asked":
            # Beside the answer to the message: somebody reads it, and decides.
            threading.Thread(target=self.decide, args=(message["data"],), daemon=True).start()

    def decide(self, data):
        time.sleep(self.after)
        body = json.dumps({"approval": data["approval"], "binding": data["binding"], **self.decision}).encode()
        identifier, at = f"msg_{secrets.token_hex(8)}", str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": at,
            "webhook-signature": sign(self.decision_key, identifier, at, body),
        }
        request = urllib.request.Request(f"{self.gateway}/approvals/hooks/pager", body, headers)
        try:
            self.told.append(json.load(urllib.request.urlopen(request, timeout=30)))
        except urllib.error.HTTPError as error:
            self.told.append({"refused": error.code, "why": error.read().decode()})


class PagerError(Exception):
    """What was told is not what the gateway tells."""


def sign(key, identifier, at, body):
    signed = f"{identifier}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
