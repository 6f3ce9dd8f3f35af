"""The official Python SDK 2 as a client, unchanged: `--mode legacy`, `auto` or `2026-07-28`; the steps are in features.py."""

import asyncio
import contextlib
import warnings
from typing import ClassVar, Literal

import mcp_types as types
from mcp import Client as SdkClient
from mcp.client.extension import ClientExtension, ResultClaim
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPDeprecationWarning

import features

warnings.simplefilter("ignore", MCPDeprecationWarning)


class ToolError(Exception):
    pass


class Task(types.Result):
    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    poll_interval_ms: int = 100


class GetTask(types.Request):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/get"] = "tasks/get"
    params: dict


class TaskResult(types.Result):
    status: str
    result: dict | None = None


class Tasks(ClientExtension):
    """The tasks extension as its specification says, since this SDK leaves extensions to others."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self):
        return [ResultClaim(result_type="task", model=Task, resolve=self.settle)]

    async def settle(self, task, context):
        while True:
            asked = GetTask(params={"taskId": task.task_id})
            told = await context.session.send_request(asked, TaskResult)
            if told.status != "working":
                if told.status != "completed":
                    raise ToolError(f"the task is {told.status}")
                return types.CallToolResult.model_validate(told.result)
            await asyncio.sleep(task.poll_interval_ms / 1000)


class Client:
    def __init__(self, declared, mode):
        self.declared, self.mode = declared, mode
        self.asked = []
        self.on_log, self.level = None, None
        self.changed = asyncio.Event()
        self.updated = {}

    @contextlib.asynccontextmanager
    async def connected(self, target):
        callbacks = {
            "elicitation": ("elicitation_callback", self.elicit),
            "sampling": ("sampling_callback", self.sample),
            "roots": ("list_roots_callback", self.roots),
            "tasks": ("extensions", [Tasks()]),
        }
        more = dict(callbacks[name] for name in self.declared)
        async with contextlib.AsyncExitStack() as stack:
            transport = await transport_of(target, stack)
            sdk = SdkClient(
                transport,
                mode=self.mode,
                read_timeout_seconds=features.PATIENCE,
                logging_callback=self.log,
                message_handler=self.hear,
                **more,
            )
            self.sdk = await stack.enter_async_context(sdk)
            self.revision = self.sdk.protocol_version
            self.modern = self.revision >= "2026"
            yield self

    # What the server asks

    async def elicit(self, _, params):
        if params.mode == "url":
            self.asked.append(("url", params.url))
            return types.ElicitResult(action="accept")
        self.asked.append(("form", params.message))
        return types.ElicitResult(action="accept", content={"colour": features.COLOUR})

    async def sample(self, _, params):
        content = types.TextContent(text=features.THOUGHT)
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def roots(self, _):
        return types.ListRootsResult(roots=[types.Root(uri=features.ROOT)])

    # What the server tells

    async def log(self, params):
        if self.on_log:
            self.on_log(params.data)

    async def hear(self, message):
        match message:
            case types.ToolListChangedNotification():
                self.changed.set()
            case types.ResourceUpdatedNotification(params=params):
                self.updated.setdefault(str(params.uri), asyncio.Event()).set()

    # The steps

    async def tools(self):
        return [tool.name for tool in (await self.sdk.list_tools(cache_mode="bypass")).tools]

    async def call(self, name, arguments, on_progress=None):
        async def report(progress, *_):
            on_progress(progress)

        meta = {"io.modelcontextprotocol/logLevel": self.level} if self.modern and self.level else None
        result = await self.sdk.call_tool(name, arguments, progress_callback=report if on_progress else None, meta=meta)
        text = " ".join(block.text for block in result.content)
        if result.is_error:
            raise ToolError(text)
        return text

    async def cancel_when(self, name, arguments, started):
        call = asyncio.create_task(self.call(name, arguments))
        await started
        call.cancel()
        await asyncio.wait([call])

    async def resources(self):
        return [str(resource.uri) for resource in (await self.sdk.list_resources()).resources]

    async def read(self, uri):
        return (await self.sdk.read_resource(uri, cache_mode="bypass")).contents[0].text

    @contextlib.asynccontextmanager
    async def watching(self, uri):
        if self.modern:
            wanted = {"resource_subscriptions": [uri]} if uri else {"tools_list_changed": True}
            async with self.sdk.listen(**wanted) as subscription:
                events = aiter(subscription)
                yield lambda: anext(events)
            return
        event = self.updated.setdefault(uri, asyncio.Event()) if uri else self.changed
        if uri:
            await self.sdk.subscribe_resource(uri)

        async def told():
            await event.wait()
            event.clear()

        yield told
        if uri:
            await self.sdk.unsubscribe_resource(uri)

    async def prompts(self):
        return [prompt.name for prompt in (await self.sdk.list_prompts()).prompts]

    async def prompt(self, name, arguments):
        return (await self.sdk.get_prompt(name, arguments)).messages[0].content.text

    async def complete(self, prompt, argument, value):
        reference = types.PromptReference(name=prompt)
        return (await self.sdk.complete(reference, {"name": argument, "value": value})).completion.values

    async def listen_to_logs(self, level, heard):
        self.on_log, self.level = heard, level
        if not self.modern:
            await self.sdk.set_logging_level(level)

    async def job(self, name, arguments):
        return await self.call(name, arguments)


async def transport_of(target, stack):
    if "command" in target:
        program, *arguments = target["command"]
        return stdio_client(StdioServerParameters(command=program, args=arguments))
    if target["transport"] == "sse":
        return sse_client(target["url"], headers=target.get("headers") or {})
    http = await stack.enter_async_context(create_mcp_http_client(headers=target.get("headers") or {}))
    return streamable_http_client(target["url"], http_client=http)


async def main():
    options = features.options(__doc__)
    client = Client([name for name in options.declare.split(",") if name], options.mode)
    async with client.connected(options.target):
        print(f'{{"revision": "{client.revision}"}}', flush=True)
        await features.Run(client, options.state, options.key).all(options.features.split(","))


asyncio.run(main())
