"""The MCP Inspector's command line as a client, unchanged: one process for each step. It has commands for some features
only; asked for something, it says `cancel` by itself. Same options and output as features.py.
"""

import asyncio
import json
import os
import signal

import features


class Inspector:
    def __init__(self, options):
        self.target, self.era = options.target, options.mode
        self.program = [*json.loads(os.environ["INSPECTOR"]), "--cli"]

    def words(self, *more):
        if "command" in self.target:
            where = [*self.target["command"], "--transport", "stdio"]
        else:
            where = [self.target["url"], "--transport", self.target["transport"]]
        headers = [word for name, value in (self.target.get("headers") or {}).items() for word in ("--header", f"{name}: {value}")]
        return [*self.program, *where, *headers, "--format", "json", "--protocol-era", self.era, *more]

    # It tells nobody whether it was asked.
    asked = ()

    async def start(self, *more):
        return await asyncio.create_subprocess_exec(
            *self.words(*more), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    async def ask(self, method, *more):
        process = await self.start("--method", method, *more)
        try:
            said, complained = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise features.Seen(f"{method}: {said.decode()[-200:].strip()} {complained.decode()[-450:].strip()}")
        value = json.loads(said)
        return value.get("result", value)

    def call_words(self, name, arguments):
        return ["--method", "tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments)]

    # The steps that features.py has too

    async def tools(self):
        return [tool["name"] for tool in (await self.ask("tools/list"))["tools"]]

    async def call(self, name, arguments, on_progress=None):
        result = await self.ask(*self.call_words(name, arguments)[1:])
        return " ".join(block["text"] for block in result["content"])

    async def resources(self):
        return [resource["uri"] for resource in (await self.ask("resources/list"))["resources"]]

    async def read(self, uri):
        return (await self.ask("resources/read", "--uri", uri))["contents"][0]["text"]

    async def prompts(self):
        return [prompt["name"] for prompt in (await self.ask("prompts/list"))["prompts"]]

    async def prompt(self, name, arguments):
        pairs = [f"{key}={value}" for key, value in arguments.items()]
        result = await self.ask("prompts/get", "--prompt-name", name, "--prompt-args", *pairs)
        return result["messages"][0]["content"]["text"]

    async def job(self, name, arguments):
        return await self.call(name, arguments)


class Steps(features.Run):
    """Where this client does something of its own."""

    async def roots(self, key):
        """It has roots, and none of them."""
        text = await self.client.call("where", {"key": key})
        features.expect(text == "", f"where: {text}")

    async def cancel(self, key):
        await self.given_up(key, "cancelled")

    async def uncancelled(self, key):
        await self.given_up(key, "done")

    async def given_up(self, key, wanted):
        """Its process is ended in the middle of a call: with 2026-07-28 that is a cancellation, before that it is not."""
        process = await self.client.start(*self.client.call_words("slow", {"key": key, "steps": features.STEPS}))
        await self.written(key, "start")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await self.written(key, "cancelled", "done")
        features.expect(self.lines(key) == ["start", wanted], f"the server wrote {self.lines(key)}")

    async def no_subscribe(self, key):
        return await self.unknown("resources/subscribe", "--uri", f"note://{key}")

    async def no_completion(self, _):
        return await self.unknown("completion/complete", "--prompt-name", "greet")

    async def unknown(self, method, *more):
        try:
            await self.client.ask(method, *more)
        except features.Seen as error:
            return features.told(error)
        raise features.Seen(f"there is {method}")


async def main():
    options = features.options(__doc__)
    client = Inspector(options)
    features.report_revision(None)
    await Steps(client, options.state, options.key).all(options.features.split(","))


asyncio.run(main())
