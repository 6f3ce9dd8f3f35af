"""The gateway under test: the real binary with a data directory of its own, driven by its own commands."""

import argparse
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime

NAME = "alice"
PASSWORD = "correct horse battery staple"
# What may be called is not what most stories are about: where nothing else is said, nobody is asked.
OPEN = ["*"]


class GatewayError(Exception):
    """The binary refused, died or never became ready."""


class Gateway:
    """Started by `with`; stopped, and its trail verified, at the end."""

    def __init__(self, binary, directory, settings=None):
        self.binary = str(binary)
        self.directory = directory
        self.port, self.operations_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = directory / "data"
        self.config = directory / "portcullis.yaml"
        self.settings = {"public_url": self.url, **(settings or {})}
        for server in self.settings.get("servers", []):
            server.setdefault("access", [{"group": "*", "allow": OPEN}])
        self.process = None

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        # JSON is YAML, and needs no writer of its own.
        self.config.write_text(json.dumps(self.settings, indent=2))
        self.log = open(self.directory / "gateway.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [
                self.binary, "up", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                "--operations", f"127.0.0.1:{self.operations_port}", "--config", self.config,
            ],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
        )  # fmt: skip
        try:
            self.wait_until_ready()
            self.command("user", "add", NAME, "--admin", "--password-stdin", stdin=PASSWORD + "\n")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise GatewayError("the gateway did not stop within 15 s of SIGTERM") from None
        finally:
            self.log.close()

    def wait_until_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise GatewayError(f"the gateway exited with {self.process.returncode}:\n{self.log_text()}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.operations_port}/readyz", timeout=2).read()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.05)
        raise GatewayError(f"the gateway was not ready within 30 s:\n{self.log_text()}")

    def log_text(self):
        return (self.directory / "gateway.log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def command(self, *arguments, stdin=None):
        """Runs one of the gateway's commands on the same data directory; gives what it printed."""
        completed = subprocess.run(
            [self.binary, *arguments, "--data", self.data, "--config", self.config],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
        )
        if completed.returncode != 0:
            words = " ".join(map(str, arguments))
            raise GatewayError(f"`{words}` exited with {completed.returncode}: {completed.stderr}{completed.stdout}")
        return completed.stdout

    def add_person(self, name, password=PASSWORD):
        self.command("user", "add", name, "--password-stdin", stdin=password + "\n")

    def protect(self, url, name, allow=OPEN):
        """Registers a server by command; gives its endpoint once the running gateway has heard of it."""
        self.command("protect", url, "--name", name, *(f"--allow={word}" for word in allow))
        return self.endpoint(name)

    def endpoint(self, name):
        """An endpoint that exists: strangers get 401 from any, but only a known one has a metadata document."""
        deadline = time.monotonic() + 10
        document = f"{self.url}/.well-known/oauth-protected-resource/mcp/{name}"
        while (status := http_status(document)) != 200:
            if time.monotonic() > deadline:
                raise GatewayError(f"{document} answers {status}")
            time.sleep(0.1)
        return f"{self.url}/mcp/{name}"

    def events(self):
        """The audit trail, oldest first: the lines of the journal, of this gateway and of its commands."""
        lines = self.command("audit", "query", "--json").splitlines()
        events = [json.loads(line) for line in lines]
        return sorted(events, key=lambda event: (datetime.fromisoformat(event["at"]), event["seq"]))

    def wait_for_events(self, enough):
        """The index follows the journal at a short distance, so a wanted event may take a moment to be seen."""
        deadline = time.monotonic() + 10
        while True:
            events = self.events()
            if enough(events) or time.monotonic() > deadline:
                return events
            time.sleep(0.2)

    def verify(self):
        return self.command("audit", "verify")


def http_status(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code


# Processes that run side by side begin some way apart.
PORTS = itertools.count(20_000 + os.getpid() % 680 * 16)
PORTS_LOCK = threading.Lock()


def free_port():
    """A port nobody listens on, from below the range that outgoing connections are given, and never the same twice."""
    with PORTS_LOCK:
        for port in PORTS:
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue


def program(name):
    """The absolute path of a program, because everything here runs in directories of its own."""
    found = shutil.which(name)
    if not found:
        raise argparse.ArgumentTypeError(f"there is no program {name}")
    return os.path.abspath(found)


def clean_environment():
    """The caller's environment without what would change the settings or the network."""
    unwanted = ("PORTCULLIS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
