"""The client that the official suite examines: a gateway with the suite's server behind it, and a person with a client
in front.

The suite starts a server and its authorization server, runs this program with the server's URL, and judges what
arrived there: what the gateway does as a client. In front of it somebody calls a tool by hand; where the answer has a
link to connect an account, they follow it through the gateway's pages and call again. Scenarios that are about more than
the gateway's own doing have the official SDK's client in front instead (front.mjs).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

import grant  # noqa: E402
from gateway import NAME, PASSWORD, Gateway, free_port  # noqa: E402
from person import PageError, Person  # noqa: E402

STATELESS = "2026-07-28"
# How often somebody goes to connect before they give up.
PATIENCE = 4
INFO = {"name": "conformance", "version": "1"}
# What the tools of the suite's servers are called with.
ARGUMENTS = {"add_numbers": {"a": 5, "b": 3}}


def main():
    options = parse_options()
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    ports = ports_of_the_suite()
    credential = credential_of(context, options, ports)
    entry = {"name": "suite", "url": options.url, "private": True, "credential": credential}
    if options.front:
        # Its servers count a question of the other era as a fault, so somebody who knows them says what they speak.
        modern = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] == STATELESS
        entry["speaks"] = "stateless" if modern else "sessions"
    # What an administrator allows: this machine, where the suite listens.
    settings = {"servers": [entry], "outbound": {"private_hosts": [f"localhost:{port}" for port in ports]}}
    with Gateway(options.binary, options.results, settings) as gateway:
        endpoint = gateway.endpoint("suite")
        person = Person(NAME, PASSWORD)
        token = grant.access_token(gateway.url, endpoint, person, free_port())
        revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
        if options.front:
            subprocess.run([options.front, HERE / "front.mjs", endpoint, revision], env={**os.environ, "TOKEN": token}, timeout=60)
        else:
            use(Client(endpoint, token, revision), person)


def use(client, person):
    """What somebody does with the server: looks at its tools, calls each, and connects where they are told to."""
    for turn in range(PATIENCE):
        # Nobody is back within the second in which the gateway counts what it found out as what is there now.
        time.sleep(1.1 if turn else 0)
        link = client.open() or next(filter(None, map(client.call, client.tools() or ["anything"])), None)
        if link is None:
            return
        print(f"sent to {link}", flush=True)
        person.connect(link)
    print(f"sent to connect {PATIENCE} times")


def credential_of(context, options, ports):
    """How the settings say what the suite says of its client."""
    if "client_id" not in context:
        return "auto"
    # Where the suite does not say whose client it is, there is one authorization server beside the server.
    others = [port for port in ports if port != urlsplit(options.url).port]
    issuer = context.get("issuer") or f"http://localhost:{others[0]}"
    machine = os.environ["MCP_CONFORMANCE_SCENARIO"].startswith("auth/client-credentials")
    credential = {"kind": "client_credentials" if machine else "oauth", "client_id": context["client_id"], "issuer": issuer}
    if "client_secret" in context:
        secret = written(options.results / "client.secret", context["client_secret"])
        return {**credential, "client_secret": f"file:{secret}"}
    key = written(options.results / "client.pem", context["private_key_pem"])
    return {**credential, "client_auth": "private_key_jwt", "client_key": f"file:{key}"}


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def ports_of_the_suite():
    """The ports at which the suite listens, found without asking them."""
    parent = os.getppid()
    while "node" not in (words := Path(f"/proc/{parent}/cmdline").read_text().split("\0"))[0]:
        parent = int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{parent}/status").read_text())[1])
        if parent <= 1:
            raise RuntimeError(f"the suite does not run this program: {words}")
    sockets = set()
    for handle in Path(f"/proc/{parent}/fd").iterdir():
        try:
            sockets |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(handle)))
        except FileNotFoundError:
            pass
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = {int(line[1].rsplit(":", 1)[1], 16) for line in lines if line[3] == "0A" and line[9] in sockets}
    return sorted(listening)


class Client:
    """An MCP client of one revision that can be asked nothing."""

    def __init__(self, endpoint, token, revision):
        self.endpoint, self.token, self.revision = endpoint, token, revision
        self.session = None
        self.last = 0

    def open(self):
        """Opens a session, in revisions that have them; gives the link if that takes an account."""
        if self.revision == STATELESS:
            return None
        self.session = None
        answer = self.ask("initialize", {"protocolVersion": self.revision, "capabilities": {}, "clientInfo": INFO})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return None if "result" in answer else link_in(answer)

    def tools(self):
        answer = self.ask("tools/list", {})
        return [tool["name"] for tool in answer.get("result", {}).get("tools", [])]

    def call(self, tool):
        """Calls a tool; gives the link if that takes an account."""
        answer = self.ask("tools/call", {"name": tool, "arguments": ARGUMENTS.get(tool, {})}, name=tool)
        print(f"{tool}: {json.dumps(answer)}", flush=True)
        return link_in(answer)

    def ask(self, method, params, name=None):
        self.last += 1
        if self.revision == STATELESS:
            about = {"protocolVersion": self.revision, "clientInfo": INFO, "clientCapabilities": {}}
            params = {**params, "_meta": {f"io.modelcontextprotocol/{key}": value for key, value in about.items()}}
        message = {"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}
        return answer_to(self.last, self.send(message, {"Mcp-Method": method, **({"Mcp-Name": name} if name else {})}))

    def send(self, message, modern=None):
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if message.get("method") != "initialize":
            headers["MCP-Protocol-Version"] = self.revision
        if self.revision == STATELESS:
            headers |= modern or {}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        request = urllib.request.Request(self.endpoint, json.dumps(message).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self.session = answer.headers.get("Mcp-Session-Id", self.session)
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode() or f"HTTP {error.code} {error.headers}"


def answer_to(id, body):
    """The message of this id, alone or in a stream of events."""
    lines = [line[5:] for line in body.splitlines() if line.startswith("data:")] or [body]
    messages = [json.loads(line) for line in lines if line.lstrip().startswith("{")]
    answer = next((message for message in messages if message.get("id") == id), None)
    if answer is None:
        raise RuntimeError(f"no answer to request {id}: {body}")
    return answer


def link_in(answer):
    found = re.search(r"http://[^\s\"]+/connections/[^\s\".]+", json.dumps(answer))
    return found and found[0]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--front", metavar="NODE", help="put the official client in front, run by this Node")
    parser.add_argument("url")
    options = parser.parse_args()
    if urlsplit(options.url).hostname != "localhost":
        parser.error("the suite's servers are on this machine")
    return options


if __name__ == "__main__":
    try:
        main()
    except PageError as error:
        sys.exit(f"{error}")
