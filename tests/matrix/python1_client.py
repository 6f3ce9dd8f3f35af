"""The official Python SDK 1.x as a client, unchanged: 1.30, and older ones for older revisions; the steps are in
features.py."""

import asyncio
import contextlib
import inspect
from datetime import timedelta

import mcp.types as types
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from pydantic import AnyUrl

import features


class ToolError(Exception):
    pass


class Client:
    def __init__(self, declared):
        self.declared = declared
        self.asked = []
        self.on_log, self.on_progress = None, None
        self.changed = asyncio.Event()
        self.updated = {}

    @contextlib.asynccontextmanager
    async def connected(self, target):
        async with transport(target) as streams:
            callbacks = {
                "elicitation": ("elicitation_callback", self.elicit),
                "sampling": ("sampling_callback", self.sample),
                "roots": ("list_roots_callback", self.roots),
            }
            answers = dict(callbacks[name] for name in self.declared)
            async with ClientSession(
                streams[0],
                streams[1],
                read_timeout_seconds=timedelta(seconds=features.PATIENCE),
                logging_callback=self.log,
                message_handler=self.hear,
                **answers,
            ) as self.session:
                self.revision = (await self.session.initialize()).protocolVersion
                yield self

    # What the server asks

    async def elicit(self, _, params):
        if getattr(params, "mode", "form") == "url":
            self.asked.append(("url", params.url))
            return types.ElicitResult(action="accept")
        self.asked.append(("form", params.message))
        return types.ElicitResult(action="accept", content={"colour": features.COLOUR})

    async def sample(self, _, params):
        content = types.TextContent(type="text", text=features.THOUGHT)
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def roots(self, _):
        return types.ListRootsResult(roots=[types.Root(uri=features.ROOT)])

    # What the server tells

    async def log(self, params):
        if self.on_log:
            self.on_log(params.data)

    async def hear(self, message):
        match getattr(message, "root", None):
            case types.ProgressNotification(params=params) if self.on_progress:
                self.on_progress(params.progress)
            case types.ToolListChangedNotification():
                self.changed.set()
            case types.ResourceUpdatedNotification(params=params):
                self.updated.setdefault(str(params.uri), asyncio.Event()).set()

    # The steps

    async def tools(self):
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, name, arguments, on_progress=None):
        async def report(progress, *_):
            on_progress(progress)

        if not on_progress:
            result = await self.session.call_tool(name, arguments)
        elif "progress_callback" in inspect.signature(self.session.call_tool).parameters:
            result = await self.session.call_tool(name, arguments, progress_callback=report)
        else:
            self.on_progress = on_progress
            meta = types.RequestParams.Meta(progressToken="slow")
            params = types.CallToolRequestParams(name=name, arguments=arguments, _meta=meta)
            request = types.ClientRequest(types.CallToolRequest(method="tools/call", params=params))
            result = await self.session.send_request(request, types.CallToolResult)
        text = " ".join(block.text for block in result.content)
        if result.isError:
            raise ToolError(text)
        return text

    async def cancel_when(self, name, arguments, started):
        """This SDK leaves it to the application to say that a request is cancelled."""
        number = self.session._request_id
        call = asyncio.create_task(self.call(name, arguments))
        await started
        params = types.CancelledNotificationParams(requestId=number, reason="changed my mind")
        cancelled = types.CancelledNotification(method="notifications/cancelled", params=params)
        await self.session.send_notification(types.ClientNotification(cancelled))
        call.cancel()
        await asyncio.wait([call])

    async def resources(self):
        return [str(resource.uri) for resource in (await self.session.list_resources()).resources]

    async def read(self, uri):
        return (await self.session.read_resource(AnyUrl(uri))).contents[0].text

    @contextlib.asynccontextmanager
    async def watching(self, uri):
        if uri is None:
            event = self.changed
        else:
            event = self.updated.setdefault(uri, asyncio.Event())
            await self.session.subscribe_resource(AnyUrl(uri))

        async def told():
            await event.wait()
            event.clear()

        yield told
        if uri:
            await self.session.unsubscribe_resource(AnyUrl(uri))

    async def prompts(self):
        return [prompt.name for prompt in (await self.session.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.session.complete(reference, {"name": argument, "value": value})).completion.values

    async def listen_to_logs(self, level, heard):
        self.on_log = heard
        await self.session.set_logging_level(level)

    async def job(self, name, arguments):
        tasks = self.session.experimental
        task = (await tasks.call_tool_as_task(name, arguments)).task
        async for status in tasks.poll_task(task.taskId):
            last = status.status
        if last != "completed":
            raise ToolError(f"the task is {last}")
        return (await tasks.get_task_result(task.taskId, types.CallToolResult)).content[0].text


def transport(target):
    if "command" in target:
        program, *arguments = target["command"]
        return stdio_client(StdioServerParameters(command=program, args=arguments))
    if target["transport"] == "sse":
        connect = sse_client
    else:
        # The oldest one has no such module.
        from mcp.client.streamable_http import streamablehttp_client as connect
    return connect(target["url"], headers=target.get("headers") or {})


async def main():
    options = features.options(__doc__)
    client = Client([name for name in options.declare.split(",") if name])
    async with client.connected(options.target):
        print(f'{{"revision": "{client.revision}"}}', flush=True)
        await features.Run(client, options.state, options.key).all(options.features.split(","))


asyncio.run(main())
