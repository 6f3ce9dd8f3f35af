"""Runs official MCP clients, unchanged and headless, against the gateway: from the first 401 to a call with a refreshed token.

Each story has a gateway, a data directory and an audit trail of its own. The client discovers, registers (RFC 7591) or
presents its metadata document, the person signs in and consents through the real pages, the client lists tools, calls
one, waits until its access token is expired, and calls again. Then the trail must tell the whole story, and verify.

What a call needs an account for is in accounts.py, what waits for a person in approvals.py.

People are the gateway's own, or an identity provider's: then the gateway knows two providers at once, one story for each.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import accounts
import approvals
import drivers
from documents import Documents
from gateway import NAME, PASSWORD, Gateway, clean_environment, free_port, http_status, program
from providers import AnotherProvider, Providers
from upstreams import Upstreams

# The access token's life, and how long a client waits for its end.
ACCESS_SECONDS = 5
PAUSE_SECONDS = ACCESS_SECONDS + 1.5

SERVERS = {
    # `times` travels in a header too for clients of 2026-07-28.
    "sample": {"tool": "echo", "arguments": {"message": "good morning", "times": 2}, "answer": "good morning"},
    "everything": {"tool": "echo", "arguments": {"message": "good morning"}, "answer": "Echo: good morning"},
}

# What the trail must hold at the end of every story, and how often at least.
EXPECTED = {
    "consent.granted": 1,
    "token.issued": 1,
    "token.refreshed": 1,
}
# The order of the first steps: a client registers by itself, but its document is fetched only for somebody signed in.
FIRST_STEPS = {
    "registered": ["client.registered", "signin.succeeded"],
    "document": ["signin.succeeded", "client.document"],
}
# With a provider the gateway asks for consent before it sends anybody there, and so has fetched the document by then.
FIRST_STEPS_WITH_PROVIDER = {
    "registered": ["client.registered", "signin.succeeded"],
    "document": ["client.document", "signin.succeeded"],
}


@dataclass(frozen=True)
class Client:
    """One foreign client in one of its ways of speaking."""

    name: str
    drive: object
    registration: str
    servers: tuple = ("sample", "everything")
    revisions: dict | None = None
    browser: str = "person"
    # Arguments it leaves out of a call.
    without: tuple = ()


CLIENTS = [
    Client("python-2", drivers.python_sdk("2"), "registered", revisions={"sample": "2026-07-28", "everything": "2026-07-28"}),
    Client("python-2", drivers.python_sdk("2", "legacy"), "document", revisions={"sample": "2025-11-25"}),
    Client("python-1", drivers.python_sdk("1"), "registered", revisions={"sample": "2025-11-25"}),
    Client("python-1", drivers.python_sdk("1"), "document"),
    Client("typescript-1", drivers.typescript_sdk("typescript_sdk1.mjs"), "registered", revisions={"sample": "2025-11-25"}),
    Client("typescript-1", drivers.typescript_sdk("typescript_sdk1.mjs"), "document", browser="chromium"),
    Client("typescript-2", drivers.typescript_sdk("typescript_sdk2.mjs", "auto"), "registered", revisions={"sample": "2026-07-28"}),
    Client(
        "typescript-2-pinned",
        drivers.typescript_sdk("typescript_sdk2.mjs", "2026-07-28"),
        "document",
        revisions={"sample": "2026-07-28", "everything": "2026-07-28"},
    ),
    Client("typescript-2", drivers.typescript_sdk("typescript_sdk2.mjs", "auto"), "document", servers=("everything",)),
    Client("inspector", drivers.inspector("legacy"), "registered", browser="chromium"),
    Client("inspector", drivers.inspector("auto"), "document"),
    Client("mcp-remote", drivers.mcp_remote(), "registered"),
    # Speaks 2026-07-28, but does not mirror arguments into headers; the gateway has to refuse a call that should.
    Client("mcp-remote", drivers.mcp_remote("--protocol", "auto"), "document", without=("times",)),
    # Over standard streams, with our own bridge in front: it registers, signs in and refreshes, and the client knows of nothing.
    Client("bridge-python-1", drivers.bridged(drivers.python_sdk("1")), "registered", revisions={"sample": "2025-11-25"}),
    Client(
        "bridge-python-2",
        drivers.bridged(drivers.python_sdk("2")),
        "registered",
        revisions={"sample": "2026-07-28", "everything": "2026-07-28"},
    ),
    Client("bridge-python-2-legacy", drivers.bridged(drivers.python_sdk("2", "legacy")), "registered", servers=("sample",), revisions={"sample": "2025-11-25"}),
    Client("bridge-typescript-1", drivers.bridged(drivers.typescript_sdk("typescript_sdk1.mjs")), "registered"),
    Client("bridge-typescript-2", drivers.bridged(drivers.typescript_sdk("typescript_sdk2.mjs", "auto")), "registered", revisions={"sample": "2026-07-28"}),
    Client(
        "bridge-typescript-2-pinned",
        drivers.bridged(drivers.typescript_sdk("typescript_sdk2.mjs", "2026-07-28")),
        "registered",
        servers=("sample",),
        browser="chromium",
        revisions={"sample": "2026-07-28"},
    ),
]


# One way of each client again, with people of the company, of its partner, and in one case of a provider of another make.
WITH_PROVIDERS = [
    (Client("python-2", drivers.python_sdk("2"), "registered", servers=("sample",)), ("company", "partner", "another")),
    (Client("python-1", drivers.python_sdk("1"), "document", servers=("sample",)), ("company", "partner")),
    (
        Client("typescript-1", drivers.typescript_sdk("typescript_sdk1.mjs"), "registered", servers=("sample",), browser="chromium"),
        ("company", "partner"),
    ),
    (
        Client("typescript-2", drivers.typescript_sdk("typescript_sdk2.mjs", "auto"), "document", servers=("sample",)),
        ("company", "partner"),
    ),
    (Client("inspector", drivers.inspector("auto"), "registered", servers=("sample",)), ("company", "partner")),
    (Client("mcp-remote", drivers.mcp_remote(), "document", servers=("sample",)), ("company", "partner")),
]


@dataclass(frozen=True)
class Story:
    """One client at one server, with people of `identity`: `local`, `company`, `partner` or `another`."""

    client: Client
    server: str
    identity: str = "local"

    @property
    def label(self):
        parts = [self.client.name, self.client.registration, self.server]
        return "-".join(parts if self.identity == "local" else [*parts, self.identity])


@dataclass(frozen=True)
class World:
    """What the stories share."""

    options: argparse.Namespace
    documents: Documents
    providers: Providers
    upstreams: Upstreams
    everything_url: str


class StoryError(Exception):
    """The client was content, but something else is not as it must be."""


def tell(story, world):
    """One client, one server, one gateway."""
    client, options, documents = story.client, world.options, world.documents
    directory = options.results / story.label
    directory.mkdir(parents=True)
    settings = {
        "tokens": {"access": f"{ACCESS_SECONDS}s"},
        "outbound": {"ca_file": str(documents.ca_file)},
        "clients": {"metadata_documents": {"private_hosts": [documents.host]}},
    }
    gateway = Gateway(options.binary, directory / "gateway", settings)
    with people(story, world, gateway, directory), gateway:
        if story.server == "everything":
            url = gateway.protect(world.everything_url, "everything")
        else:
            url = gateway.endpoint("sample")
        wanted = SERVERS[story.server]
        task = drivers.Task(
            url=url,
            tool=wanted["tool"],
            arguments={name: value for name, value in wanted["arguments"].items() if name not in client.without},
            pause=PAUSE_SECONDS,
            port=free_port(),
            directory=directory,
            environment={
                **drivers.browser(directory, options.node, client.browser),
                "PERSON_NAME": NAME,
                "PERSON_PASSWORD": PASSWORD,
                "PERSON_PICTURE": directory / "consent.png",
                "PERSON_CHOICE": Providers.CHOICES.get(story.identity, ""),
                "PERSON_AUTHORITY": documents.ca_file,
            },
            node=options.node,
            pythons={"1": options.python1, "2": options.python2},
            binary=options.binary,
            metadata_url=documents.url(directory.name) if client.registration == "document" else None,
        )
        check_answers(client, story.server, client.drive(task), wanted)
        check_trail(story, gateway, wanted)
        gateway.verify()


@contextlib.contextmanager
def people(story, world, gateway, directory):
    """Tells a gateway that has not started yet where its people come from."""
    if story.identity == "local":
        yield
        return
    if story.identity == "another":
        provider = AnotherProvider(world.options.django, directory, world.documents, gateway.url)
        known = provider.settings(directory)
    else:
        provider = world.providers
        known = provider.settings(gateway.url, story.label, directory)
    gateway.settings.update(known)
    gateway.settings["outbound"]["private_hosts"] = provider.hosts
    try:
        yield
    finally:
        if provider is not world.providers:
            provider.stop()


def check_answers(client, server, said, wanted):
    if wanted["tool"] not in said["tools"]:
        raise StoryError(f"{wanted['tool']} is not among the tools listed: {said['tools']}")
    for answer in said["answers"]:
        if wanted["answer"] not in answer:
            raise StoryError(f"the tool answered {answer!r}")
    if len(said["answers"]) != 2:
        raise StoryError(f"{len(said['answers'])} answers instead of 2")
    revision = (client.revisions or {}).get(server)
    if revision and said["revision"] != revision:
        raise StoryError(f"spoke {said['revision']} instead of {revision}")


def check_trail(story, gateway, wanted):
    """Every step is in the trail: who registered, signed in, consented, was issued and refreshed what, and called what."""
    client, server = story.client, story.server
    first_steps = (FIRST_STEPS if story.identity == "local" else FIRST_STEPS_WITH_PROVIDER)[client.registration]
    expected = {**EXPECTED, **dict.fromkeys(first_steps, 1)}

    def calls(events, kind):
        return [event for event in events if event["event"] == kind and is_call_of(event, server, wanted["tool"])]

    def missing(events):
        kinds = [event["event"] for event in events]
        lacking = [f"{kind} ({kinds.count(kind)})" for kind, least in expected.items() if kinds.count(kind) < least]
        lacking += [
            f"{kind} of {wanted['tool']} ({len(calls(events, kind))})"
            for kind in ("call.decided", "call.ended")
            if len(calls(events, kind)) < 2
        ]
        return lacking

    events = gateway.wait_for_events(lambda events: not missing(events))
    if missing(events):
        listed = "\n".join(f"  {event}" for event in events)
        raise StoryError(f"the trail lacks {', '.join(missing(events))}; it has:\n{listed}")
    order = [event["event"] for event in events]
    steps = [*first_steps, "consent.granted", "token.issued", "token.refreshed"]
    if sorted(steps, key=order.index) != steps:
        raise StoryError(f"the trail tells the steps in another order: {order}")
    if story.identity != "local":
        vouched = {event["details"]["method"] for event in events if event["event"] == "signin.succeeded"}
        if vouched != {story.identity}:
            raise StoryError(f"{story.identity} should have vouched for the person, the trail says {vouched}")
    refreshed = order.index("token.refreshed")
    if not any(calls(events[refreshed:], "call.ended")):
        raise StoryError("no call ended after the refresh")


def is_call_of(event, server, tool):
    return (event.get("server"), event.get("method"), event.get("name")) == (server, "tools/call", tool)


@contextlib.contextmanager
def everything_server(options):
    """The official everything server, Streamable HTTP on loopback."""
    port = free_port()
    program = drivers.PACKAGES / "@modelcontextprotocol/server-everything/dist/index.js"
    with open(options.results / "everything.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [options.node, program, "streamableHttp"],
            env={**clean_environment(), "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/mcp"), "the everything server")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            process.wait()


def answers(url):
    try:
        return http_status(url) is not None
    except OSError:
        return False


def wait_until(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start within 30 s")
        time.sleep(0.1)


def main():
    options = parse_options()
    stories = [Story(client, server) for client in CLIENTS for server in client.servers]
    stories += [
        Story(client, server, identity)
        for client, identities in WITH_PROVIDERS
        for server in client.servers
        for identity in identities
    ]
    stories += accounts.STORIES + approvals.STORIES
    stories = [story for story in stories if options.only in story.label]
    shutil.rmtree(options.results, ignore_errors=True)
    options.results.mkdir(parents=True)
    failed = 0
    with tempfile.TemporaryDirectory() as scratch, everything_server(options) as everything_url:
        documents = Documents(Path(scratch))
        providers = Providers(options.node, options.results, scratch)
        upstreams = Upstreams(options.node, options.fastmcp, options.results, scratch)
        world = World(options, documents, providers, upstreams, everything_url)
        with ThreadPoolExecutor(options.jobs) as pool:
            for future in [pool.submit(outcome, story, world) for story in stories]:
                label, seconds, error = future.result()
                failed += error is not None
                print(f"{'FAIL' if error else 'ok  '} {label} ({seconds:.1f} s)", flush=True)
                if error:
                    print(error, flush=True)
        upstreams.stop()
        providers.stop()
        documents.stop()
    print(f"\nforeign clients: {len(stories) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not stories else 0)


def outcome(story, world):
    """Runs one story; gives its label, its time and, if it failed, what a reader needs to see."""
    start = time.monotonic()
    try:
        if isinstance(story, Story):
            tell(story, world)
        else:
            story.tell(world)
        error = None
    except Exception as problem:
        error = describe(problem, world.options.results / story.label)
    return story.label, time.monotonic() - start, error


def describe(problem, directory):
    parts = ["".join(traceback.format_exception_only(problem)).rstrip()]
    logs = ("client.log", "person.log", "decide.log", "gateway/gateway.log")
    for log in (*logs, *(f"{name}/{log}" for name in accounts.KEYS for log in logs[:2])):
        if (directory / log).exists():
            tail = (directory / log).read_text(encoding="utf-8", errors="replace")[-2500:].rstrip()
            parts.append(f"--- {directory / log}\n{tail}")
    return "\n".join(parts)


def parse_options():
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=program, default=str(root / "target/debug/portcullis"))
    parser.add_argument("--node", type=program, default="node")
    parser.add_argument("--python1", type=program, default=str(root / ".cache/python-sdk-1/bin/python"))
    parser.add_argument("--python2", type=program, default=str(root / ".cache/python-sdk-2/bin/python"))
    parser.add_argument("--python1.9", dest="python19", type=program, default=str(root / ".cache/python-sdk-1.9/bin/python"))
    parser.add_argument("--django", type=program, default=str(root / ".cache/django/bin/python"))
    parser.add_argument("--fastmcp", type=program, default=str(root / ".cache/fastmcp/bin/python"))
    parser.add_argument("--results", type=Path, default=root / ".cache/results/clients")
    parser.add_argument("--only", default="", help="stories whose label contains this")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    return parser.parse_args()


if __name__ == "__main__":
    main()
