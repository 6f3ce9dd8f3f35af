"""What every client does, feature by feature, for the clients that are driven from Python. A client here is an object with
the methods that these steps use (see python1_client.py, and Host for what both SDKs have in common); features.mjs has the same
steps for TypeScript, and rmcp/ for Rust.

Each feature prints one line, {"feature", "ok", "why", "starts", "ends"}: `starts` and `ends` are how often the tool behind
it was begun and came to its end, as the server wrote down outside of any session.
"""

import argparse
import asyncio
import json
import sys
import traceback
from pathlib import Path

PATIENCE = 60
# So many that they cannot all come together with the answer, with which some clients lose them.
STEPS = "50"
# Waiting for something that is written down by another process looks again this often.
LOOK = 0.02
# Nothing tells a client when its stream of news is open: without news for so long, it gives another cause for them.
NEWS = 3

TOOLS = ["echo", "count", "slow", "think", "where", "touch", "chat"]
ROOT = "file:///matrix/root"
PAGE = "https://example.com/matrix"
THOUGHT = "forty-two"
COLOUR = "green"


class Seen(Exception):
    """What was seen is not what it should be."""


def expect(condition, what):
    if not condition:
        raise Seen(what)


def options(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--target", type=json.loads, required=True, help='{"url", "transport", "headers"} or {"command"}')
    parser.add_argument("--state", type=Path, required=True, help="where the servers write down what ran")
    parser.add_argument("--key", required=True, help="tells this run's lines there from others")
    parser.add_argument("--features", required=True)
    parser.add_argument("--mode", default="legacy")
    parser.add_argument("--declare", type=lambda text: text.split(","), help="what the client says it can be asked")
    return parser.parse_args()


class Host:
    """A program on one of the SDKs, whose types are `types`: what it answers, and what it hears."""

    def __init__(self, types, declared):
        self.types = types
        self.asked = []
        self.on_log, self.on_progress = None, None
        self.changed = asyncio.Event()
        self.updated = {}
        callbacks = {
            "elicitation": ("elicitation_callback", self.elicit),
            "sampling": ("sampling_callback", self.sample),
            "roots": ("list_roots_callback", self.roots),
        }
        self.answers = dict(callbacks[name] for name in declared if name in callbacks)

    async def elicit(self, _, params):
        # The first revision with forms has nothing else.
        if getattr(params, "mode", "form") == "url":
            self.asked.append(("url", params.url))
            return self.types.ElicitResult(action="accept")
        self.asked.append(("form", params.message))
        return self.types.ElicitResult(action="accept", content={"colour": COLOUR})

    async def sample(self, _, params):
        content = self.types.TextContent(type="text", text=THOUGHT)
        return self.types.CreateMessageResult(role="assistant", content=content, model="none")

    async def roots(self, _):
        return self.types.ListRootsResult(roots=[self.types.Root(uri=ROOT)])

    async def log(self, params):
        if self.on_log:
            self.on_log(params.data)

    async def hear(self, message):
        types = self.types
        match getattr(message, "root", message):
            case types.ProgressNotification(params=params) if self.on_progress:
                self.on_progress(params.progress)
            case types.ToolListChangedNotification():
                self.changed.set()
            case types.ResourceUpdatedNotification(params=params):
                self.event_of(str(params.uri)).set()

    def event_of(self, uri):
        return self.updated.setdefault(uri, asyncio.Event()) if uri else self.changed

    def news_of(self, uri):
        event = self.event_of(uri)

        async def told():
            await event.wait()
            event.clear()

        return told

    # The steps that are the same on a session of 1.x and a client of 2

    async def resources(self):
        return [str(resource.uri) for resource in (await self.sdk.list_resources()).resources]

    async def prompts(self):
        return [prompt.name for prompt in (await self.sdk.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return (await self.sdk.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        reference = self.types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.sdk.complete(reference, {"name": argument, "value": value})).completion.values


def text_of(content, failed):
    text = " ".join(block.text for block in content)
    if failed:
        raise ToolError(text)
    return text


class ToolError(Exception):
    pass


async def run(options, client):
    async with client.connected(options.target):
        report_revision(client.revision)
        await Run(client, options.state, options.key).all(options.features.split(","))


class Run:
    def __init__(self, client, state, key):
        self.client, self.state, self.key = client, state, key

    def key_of(self, feature):
        return f"{self.key}-{feature}".replace("_", "-")

    def lines(self, key):
        path = self.state / key
        return path.read_text().splitlines() if path.exists() else []

    async def written(self, key, *words):
        """Waits until the server has written one of these words."""
        while not any(word in self.lines(key) for word in words):
            await asyncio.sleep(LOOK)

    async def all(self, features):
        for feature in features:
            key = self.key_of(feature)
            try:
                async with asyncio.timeout(PATIENCE):
                    why = await getattr(self, feature)(key) or ""
                ok = True
            except TimeoutError:
                ok, why = False, f"nothing for {PATIENCE} s"
            except BaseException as error:  # every way of failing is a finding, and the next feature is tried all the same
                if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
                    raise
                ok, why = False, told(error)
            report(feature, ok, why, self.lines(key))

    async def list(self, _):
        tools = await self.client.tools()
        expect(set(TOOLS) <= set(tools), f"tools: {tools}")
        uris = await self.client.resources()
        expect("note://board" in uris, f"resources: {uris}")
        text = await self.client.read("note://board")
        expect(text == "as it was", f"note://board: {text}")

    async def call(self, key):
        text = await self.client.call("echo", {"message": "good morning ☼"})
        expect(text == "good morning ☼", f"echo: {text}")
        for times in (1, 2):
            text = await self.client.call("count", {"key": key})
            expect(text == str(times), f"count: {text} instead of {times}")
        expect(self.lines(key).count("done") == 2, f"ran: {self.lines(key)}")

    async def progress(self, key):
        values = []
        text = await self.client.call("slow", {"key": key, "steps": STEPS}, values.append)
        expect(text == "finished", f"slow: {text}")
        expect(len(values) >= 2 and values == sorted(set(values)), f"progress: {values}")

    async def cancel(self, key):
        await self.client.cancel_when("slow", {"key": key, "steps": "1000"}, self.written(key, "start"))
        await self.written(key, "cancelled", "done")
        expect(self.lines(key) == ["start", "cancelled"], f"the server wrote {self.lines(key)}")

    async def elicit_form(self, key):
        text = await self.client.call("ask", {"key": key})
        expect(text == f"accept {COLOUR}", f"ask: {text}")
        expect([mode for mode, _ in self.client.asked].count("form") == 1, f"asked: {self.client.asked}")

    async def elicit_url(self, key):
        text = await self.client.call("open", {"key": key})
        expect(text == "accept", f"open: {text}")
        expect(self.client.asked[-1] == ("url", PAGE), f"asked: {self.client.asked}")

    async def sampling(self, key):
        text = await self.client.call("think", {"key": key})
        expect(text == THOUGHT, f"think: {text}")

    async def roots(self, key):
        text = await self.client.call("where", {"key": key})
        expect(text == ROOT, f"where: {text}")

    async def touched(self, key, news):
        coming = asyncio.ensure_future(news())
        while not coming.done():
            await self.client.call("touch", {"key": key})
            await asyncio.wait([coming], timeout=NEWS)
        await coming

    async def subscribe(self, key):
        uri = f"note://{key}"
        expect(await self.client.read(uri) == "as it was", "the note was touched before")
        async with self.client.watching(uri) as updated:
            await self.touched(key, updated)
            expect(await self.client.read(uri) == "changed", "the note is not changed")

    async def list_changed(self, key):
        async with self.client.watching(None) as changed:
            await self.touched(key, changed)
            # Somebody else may have changed the list too, and each change is told once.
            while f"new_{key}" not in await self.client.tools():
                await changed()

    async def prompts(self, _):
        names = await self.client.prompts()
        expect(names == ["greet"], f"prompts: {names}")
        text = await self.client.prompt("greet", {"name": "Ada"})
        expect(text == "Hello, Ada!", f"greet: {text}")

    async def completion(self, _):
        values = await self.client.complete("greet", "name", "par")
        expect(values == ["paris", "park", "party"], f"completion: {values}")

    async def logging(self, key):
        heard = []
        await self.client.listen_to_logs("info", heard.append)
        await self.client.call("chat", {"key": key})
        wanted = [f"{level} {key}" for level in ("info", "warning")]
        while len(heard) < len(wanted):
            await asyncio.sleep(LOOK)
        expect(heard == wanted, f"logs: {heard}")

    async def tasks(self, key):
        text = await self.client.job("job", {"key": key})
        expect(text == "job done", f"job: {text}")

    async def refused(self, key, tool):
        """What cannot be must be refused, clearly, and must not run to its end."""
        try:
            text = await self.client.call(tool, {"key": key})
        except Exception as error:
            expect("done" not in self.lines(key), "the tool ran to its end all the same")
            return told(error)
        raise Seen(f"not refused but answered: {text}")

    async def cancelled(self, key, tool):
        """Somebody on the way answers for this client, which is not asked."""
        before = len(self.client.asked)
        text = await self.client.call(tool, {"key": key})
        expect(text.startswith("cancel"), f"{tool}: {text}")
        expect(len(self.client.asked) == before, f"asked: {self.client.asked}")

    async def cancelled_elicit_form(self, key):
        return await self.cancelled(key, "ask")

    async def cancelled_elicit_url(self, key):
        return await self.cancelled(key, "open")

    async def no_elicit_form(self, key):
        return await self.refused(key, "ask")

    async def no_elicit_url(self, key):
        return await self.refused(key, "open")

    async def no_sampling(self, key):
        return await self.refused(key, "think")

    async def no_tasks(self, key):
        return await self.refused(key, "job")

    async def plain_job(self, key):
        """A client without tasks gets the plain result of a tool that makes one."""
        text = await self.client.call("job", {"key": key})
        expect(text == "job done", f"job: {text}")


def told(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, Seen):
        traceback.print_exception(error, file=sys.stderr)
    code = getattr(error, "code", None) or getattr(getattr(error, "error", None), "code", None)
    return f"{f'{code} ' if code else ''}{error or type(error).__name__}"[:600]


def report_revision(revision):
    print(json.dumps({"revision": revision}), flush=True)


def report(feature, ok, why, lines):
    starts, ends = lines.count("start"), lines.count("done")
    print(json.dumps({"feature": feature, "ok": ok, "why": why, "starts": starts, "ends": ends}), flush=True)
