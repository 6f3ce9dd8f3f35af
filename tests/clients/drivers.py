"""How each foreign client is driven, headless and unchanged, through the same steps: list the tools, call one, let the
access token expire, call again. A driver gives what the client printed: tools, answers, revision where it tells."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = HERE / "node_modules"
PATIENCE = 90


class ClientError(Exception):
    """A client gave up, or said something that makes no sense."""


@dataclass
class Task:
    """What a client is asked to do."""

    url: str
    tool: str
    arguments: dict
    pause: float
    port: int
    directory: Path
    environment: dict
    node: str
    pythons: dict
    metadata_url: str | None = None
    # The gateway's binary, for clients that reach the server by `portcullis bridge`.
    binary: str | None = None
    bridge: str | None = None
    # A call needs an account that is not connected yet: the client can be asked to open a page (`url`) or cannot (`none`).
    elicit: str | None = None
    # A tool that is called at the end, instead of the same one again.
    then: str | None = None
    # How many seconds the client waits without a sign of life; it asks for some then.
    timeout: int | None = None
    # An access key, for a client that cannot sign in here.
    key: str | None = None


def python_sdk(series, mode="auto"):
    def drive(task):
        program = [task.pythons[series], HERE / "python_sdk.py"]
        return run_script(task, [*program, "--mode", mode])

    return drive


def python_sdk_of(series):
    """One of the first Python SDKs, with an access key."""

    def drive(task):
        return run_script(task, [task.pythons[series], HERE / "python_sdk_early.py"])

    return drive


def typescript_sdk(script, mode=None):
    def drive(task):
        return run_script(task, [task.node, HERE / script, *(["--mode", mode] if mode else [])])

    return drive


def bridged(drive):
    """The same client over standard streams, with `portcullis bridge` in front of the server."""

    def through(task):
        return drive(dataclasses.replace(task, bridge=task.binary))

    return through


def run_script(task, program):
    """The SDK scripts here share their options and print one JSON object."""
    options = [
        "--url", task.url, "--tool", task.tool, "--arguments", json.dumps(task.arguments),
        "--pause", task.pause, "--callback-port", task.port,
    ]  # fmt: skip
    if task.metadata_url:
        options += ["--metadata-url", task.metadata_url]
    if task.bridge:
        options += ["--bridge", task.bridge]
    if task.elicit:
        options += ["--elicit", task.elicit]
    if task.then:
        options += ["--then", task.then]
    if task.timeout:
        options += ["--timeout", task.timeout]
    if task.key:
        options += ["--key", task.key]
    return json.loads(run(task, [*program, *options]).splitlines()[-1])


def inspector(era):
    """The Inspector's command line: one process for each step, tokens kept in a file between them."""

    def drive(task):
        storage = task.directory / "inspector"
        environment = {
            "MCP_STORAGE_DIR": storage,
            "MCP_INSPECTOR_SECRET_STORE": "file",
            "MCP_CATALOG_PATH": storage / "catalog.json",
            "MCP_AUTO_OPEN_ENABLED": "true",
        }
        program = [
            task.node, PACKAGES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli", task.url,
            "--transport", "http", "--format", "json", "--protocol-era", era,
            "--callback-url", f"http://127.0.0.1:{task.port}/oauth/callback",
        ]  # fmt: skip
        if task.metadata_url:
            program += ["--client-metadata-url", task.metadata_url]
        call = [*program, "--method", "tools/call", "--tool-name", task.tool, "--tool-args-json", json.dumps(task.arguments)]
        tools = result_of(run(task, [*program, "--method", "tools/list"], environment))["tools"]
        answers = [text_of(result_of(run(task, call, environment)))]
        time.sleep(task.pause)
        answers.append(text_of(result_of(run(task, call, environment))))
        return {"tools": [tool["name"] for tool in tools], "answers": answers}

    return drive


def result_of(printed):
    """The Inspector prints the result, in some versions inside an envelope."""
    value = json.loads(printed)
    return value.get("result", value)


def mcp_remote(*flags):
    """mcp-remote: a stdio server to its host, which here speaks the handshake revision as desktop hosts do."""

    def drive(task):
        program = [
            task.node, PACKAGES / "mcp-remote/dist/proxy.js", task.url, task.port, "--debug", "--auth-timeout", PATIENCE, *flags,
        ]  # fmt: skip
        if task.metadata_url:
            program += ["--client-metadata-url", task.metadata_url]
        environment = {"HOME": task.directory, "MCP_REMOTE_CONFIG_DIR": task.directory / "mcp-remote"}
        with Stdio(task, program, environment) as server:
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"}}
            revision = server.ask("initialize", hello)["protocolVersion"]
            server.tell("notifications/initialized")
            tools = server.ask("tools/list", {})["tools"]
            call = {"name": task.tool, "arguments": task.arguments}
            answers = [text_of(server.ask("tools/call", call))]
            time.sleep(task.pause)
            answers.append(text_of(server.ask("tools/call", call)))
        return {"tools": [tool["name"] for tool in tools], "answers": answers, "revision": revision}

    return drive


def text_of(result):
    return " ".join(block["text"] for block in result["content"] if block["type"] == "text")


class Stdio:
    """A JSON-RPC peer on the standard streams of a process."""

    def __init__(self, task, program, environment):
        self.log = open(task.directory / "client.log", "a", encoding="utf-8")
        self.process = subprocess.Popen(
            [str(word) for word in program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=client_environment(task, environment),
            cwd=task.directory,
        )
        self.ids = 0
        self.deadline = threading.Timer(PATIENCE, self.process.kill)

    def __enter__(self):
        self.deadline.start()
        return self

    def __exit__(self, *_):
        self.deadline.cancel()
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def tell(self, method, params=None):
        self.write({"jsonrpc": "2.0", "method": method, **({"params": params} if params is not None else {})})

    def ask(self, method, params):
        self.ids += 1
        self.write({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params})
        for line in self.process.stdout:
            self.log.write(line)
            message = json.loads(line)
            if message.get("id") == self.ids and "method" not in message:
                if "error" in message:
                    raise ClientError(f"{method} failed: {message['error']}")
                return message["result"]
        raise ClientError(f"the process ended (or was ended after {PATIENCE} s) before it answered {method}")

    def write(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()


def run(task, program, environment=None):
    """Runs one program to its end; gives its standard output."""
    words = [str(word) for word in program]
    with open(task.directory / "client.log", "a", encoding="utf-8") as log:
        log.write(f"$ {shlex.join(words)}\n")
        log.flush()
        try:
            completed = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                timeout=PATIENCE,
                env=client_environment(task, environment),
                cwd=task.directory,
            )
        except subprocess.TimeoutExpired:
            raise ClientError(f"{Path(words[1]).name} did not finish within {PATIENCE} s") from None
        log.write(completed.stdout)
    if completed.returncode != 0:
        raise ClientError(f"{Path(words[1]).name} exited with {completed.returncode}")
    return completed.stdout


def client_environment(task, extra=None):
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    environment = {**kept, "PATH": os.environ["PATH"], "HOME": str(task.directory), **task.environment, **(extra or {})}
    return {name: str(value) for name, value in environment.items()}


def browser(task_directory, node, kind):
    """The environment in which every way of opening a browser leads to the person.

    The SDK scripts start `BROWSER` themselves; mcp-remote and the Inspector start an `xdg-open`, their own or the first
    in `PATH`, and both of those come to the same program.
    """
    words = [node, HERE / "chromium.mjs"] if kind == "chromium" else [sys.executable, HERE / "person.py"]
    # Whoever is sent to a page where calls are approved decides there (`decides`), or does so elsewhere (`elsewhere`).
    deciding = {"decides": shlex.join([str(node), str(HERE / "decide.mjs")]), "elsewhere": "true"}.get(kind)
    decides = f'case "$1" in */approvals/*) exec {deciding} "$@" ;; esac\n' if deciding else ""
    programs = task_directory / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("browser", "xdg-open"):
        program = programs / name
        program.write_text(f'#!/bin/sh\n{decides}exec {shlex.join(map(str, words))} "$@"\n')
        program.chmod(0o755)
    return {
        "BROWSER": programs / "browser",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PERSON_LOG": task_directory / "person.log",
    }
