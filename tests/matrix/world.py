"""Who is in the matrix: the servers of every revision, the clients, and what each of them is started with."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = HERE.parent / "clients"
sys.path.insert(0, str(CLIENTS))

from gateway import clean_environment, free_port  # noqa: E402

# The order in which a client tries them. Cancelling comes last: servers on the oldest SDKs lose the whole session by it.
FEATURES = {
    "list": "list",
    "call": "call",
    "progress": "progress",
    "elicit_form": "elicitation, form",
    "elicit_url": "elicitation, URL",
    "sampling": "sampling",
    "roots": "roots",
    "subscribe": "resource subscriptions",
    "list_changed": "list changed",
    "prompts": "prompts",
    "completion": "completion",
    "logging": "logging",
    "tasks": "tasks",
    "cancel": "cancel",
}


@dataclass(frozen=True)
class Server:
    """One server. `era` is `legacy` or `modern`."""

    name: str
    label: str
    era: str
    transport: str
    program: object

    @property
    def revision(self):
        return self.name.split("-", 1)[1]


@dataclass(frozen=True)
class Client:
    """One client in one era. `revision` is the newest it speaks, none if it does not tell; `transports` are those it can
    speak without the gateway."""

    name: str
    era: str
    revision: object
    program: object
    transports: tuple
    declares: str = "elicitation,sampling,roots"
    environment: object = field(default=lambda options, directory: {})
    # How it comes to the gateway.
    comes_by: str = "http"
    # What it starts to get there.
    proxy: object = None


def python(series, *arguments):
    return lambda options, state: [options.pythons[series], HERE / "server_python1.py", state, *arguments]


def typescript(series, *arguments):
    # A process behind the gateway sees what it is given, and not what that is a link to.
    return lambda options, state: [Path(options.node).resolve(), HERE / f"server_typescript{series}.mjs", state, *arguments]


SERVERS = [
    Server("sse-2024-11-05", "2024-11-05 (HTTP+SSE)", "legacy", "sse", python("1.7", "sse")),
    Server("http-2025-03-26", "2025-03-26", "legacy", "http", python("1.9", "http")),
    Server("http-2025-06-18", "2025-06-18", "legacy", "http", python("1.12", "http")),
    Server("http-2025-11-25", "2025-11-25", "legacy", "http", typescript("1")),
    Server("http-2026-07-28", "2026-07-28", "modern", "http", typescript("2")),
    Server("stdio-2025-11-25", "stdio, 2025-11-25", "legacy", "stdio", typescript("1", "stdio")),
    Server("stdio-2026-07-28", "stdio, 2026-07-28", "modern", "stdio", typescript("2", "stdio")),
]


def script(interpreter, name):
    return lambda options: [interpreter(options), HERE / name]


def node(options):
    return options.node


def mcp_remote(*flags):
    """A host with the TypeScript SDK starts mcp-remote and speaks to it; mcp-remote goes to the URL."""

    def target_of(options, target):
        transport = {"sse": "sse-only", "http": "http-only"}[target["transport"]]
        proxy = [options.node, CLIENTS / "node_modules/mcp-remote/dist/proxy.js", target["url"], "--transport", transport, *flags]
        headers = [word for name, value in target.get("headers", {}).items() for word in ("--header", f"{name}:{value}")]
        return {"command": [str(word) for word in [*proxy, *headers]]}

    return target_of


def inspector_environment(options, directory):
    launcher = CLIENTS / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    return {
        "INSPECTOR": json.dumps([str(options.node), str(launcher)]),
        "MCP_STORAGE_DIR": directory / "inspector",
        "MCP_INSPECTOR_SECRET_STORE": "file",
        "MCP_CATALOG_PATH": directory / "inspector/catalog.json",
        "MCP_AUTO_OPEN_ENABLED": "true",
    }


ALL = ("http", "sse", "stdio")


def python_client(series):
    return script(lambda options: options.pythons[series], f"python{series[0]}_client.py")


PYTHON1, PYTHON2 = python_client("1"), python_client("2")
TYPESCRIPT1, TYPESCRIPT2 = script(node, "typescript1_client.mjs"), script(node, "typescript2_client.mjs")
INSPECTOR = script(lambda options: sys.executable, "inspector_client.py")


def in_mode(program, mode):
    return lambda options: [*program(options), "--mode", mode]


def rmcp(options):
    return [options.rmcp]


SESSIONS, MODERN = "2025-11-25", "2026-07-28"


def mcp_remote_environment(options, directory):
    return {"MCP_REMOTE_CONFIG_DIR": directory / "mcp-remote"}


WHO = [
    Client("python-1", "legacy", SESSIONS, PYTHON1, ALL),
    Client("python-1.12", "legacy", "2025-06-18", python_client("1.12"), ALL),
    Client("python-1.9", "legacy", "2025-03-26", python_client("1.9"), ALL, "sampling,roots"),
    Client("python-1.7", "legacy", "2024-11-05", python_client("1.7"), ("sse",), "sampling,roots", comes_by="sse"),
    Client("python-2-legacy", "legacy", SESSIONS, in_mode(PYTHON2, "legacy"), ALL),
    Client("python-2", "modern", MODERN, in_mode(PYTHON2, "auto"), ("http", "stdio"), "elicitation,sampling,roots,tasks"),
    Client("typescript-1", "legacy", SESSIONS, TYPESCRIPT1, ALL),
    Client("typescript-2-legacy", "legacy", SESSIONS, in_mode(TYPESCRIPT2, "legacy"), ALL),
    Client("typescript-2", "modern", MODERN, in_mode(TYPESCRIPT2, MODERN), ("http", "stdio")),
    Client("inspector-legacy", "legacy", None, in_mode(INSPECTOR, "legacy"), ("http", "sse"), environment=inspector_environment),
    Client("inspector", "modern", None, in_mode(INSPECTOR, "modern"), ("http",), environment=inspector_environment),
    Client(
        "mcp-remote-legacy", "legacy", SESSIONS, TYPESCRIPT1, ("http", "sse"), environment=mcp_remote_environment, proxy=mcp_remote()
    ),
    # Its host speaks an older revision in either era; that it speaks the newest itself is seen by what it cannot put to its host.
    Client(
        "mcp-remote",
        "modern",
        SESSIONS,
        TYPESCRIPT1,
        ("http",),
        environment=mcp_remote_environment,
        proxy=mcp_remote("--protocol", "auto"),
    ),
    Client("rmcp-legacy", "legacy", SESSIONS, in_mode(rmcp, "legacy"), ("http",)),
    Client("rmcp", "modern", MODERN, in_mode(rmcp, MODERN), ("http",), "elicitation,sampling,roots,tasks"),
]


@contextlib.contextmanager
def running(options, state):
    """Starts the servers that are on the network; gives server → where it is, for those that are not, their command."""
    places, processes = {}, {}
    try:
        for server in SERVERS:
            words = [str(word) for word in server.program(options, state)]
            if server.transport == "stdio":
                places[server.name] = {"command": words}
                continue
            port = free_port()
            with open(options.results / f"{server.name}.log", "w", encoding="utf-8") as log:
                processes[server.name] = subprocess.Popen(
                    [*words, str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment()
                )
            path = "sse" if server.transport == "sse" else "mcp"
            places[server.name] = {"url": f"http://127.0.0.1:{port}/{path}", "transport": server.transport}
            places[server.name]["port"] = port
        for place in places.values():
            if "port" in place:
                wait_for(place.pop("port"))
        yield places
    finally:
        for name, process in processes.items():
            if process.poll() is not None:
                print(f"the server {name} ended by itself with {process.returncode}")
            process.terminate()
        for process in processes.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing listens on port {port} after 30 s") from None
            time.sleep(0.05)


def environment_of(client, options, directory):
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "PATH") if name in os.environ}
    return {name: str(value) for name, value in {**kept, "HOME": directory, **client.environment(options, directory)}.items()}
