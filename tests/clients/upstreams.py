"""The servers that people connect accounts at, for all stories: real ones, in one process with their authorization servers
(tests/upstreams). They are over https on loopback under the authority of these runs (see documents.py)."""

import json
import subprocess
import urllib.request
from pathlib import Path

from gateway import PASSWORD, clean_environment

PROGRAM = Path(__file__).resolve().parents[1] / "upstreams" / "upstreams.mjs"

AUTHORITIES = {"acme": {}}
SERVERS = {
    "notes": {"authority": "acme", "tls": True},
    "old-notes": {"authority": "acme", "sdk": 1},
    "fast": {"kind": "fastmcp", "authority": "acme"},
    "demo": {"kind": "demo"},
    "everything": {"kind": "everything", "header": "x-api-key", "keys": {"key-of-alice": "alice", "key-of-bob": "bob"}},
}


class Upstreams:
    def __init__(self, node, python, directory, authority):
        options = {"directory": str(authority), "python": str(python), "authorities": AUTHORITIES, "servers": SERVERS}
        self.log = open(directory / "upstreams.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [node, PROGRAM, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=clean_environment(),
        )
        ready = json.loads(self.process.stdout.readline())
        self.control, self.authorities, self.servers = f"http://{ready['control']}", ready["authorities"], ready["servers"]
        for name in ("alice", "bob"):
            self.tell("acme", "account", login=name, email=f"{name}@example.com", password=PASSWORD)

    def url(self, server):
        return self.servers[server]["url"]

    @property
    def hosts(self):
        known = [*self.authorities.values(), *self.servers.values()]
        issuers = [entry["issuer"].split("/")[2] for entry in known if "issuer" in entry]
        return sorted({*issuers, *(entry["host"] for entry in known)})

    def tell(self, name, verb, **what):
        body = json.dumps(what).encode()
        request = urllib.request.Request(f"{self.control}/{name}/{verb}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.log.close()
