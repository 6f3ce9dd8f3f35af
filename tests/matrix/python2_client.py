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
                    raise features.ToolError(f"the task is {told.status}")
                return types.CallToolResult.model_validate(told.result)
            await asyncio.sleep(task.poll_interval_ms / 1000)


class Client(features.Host):
    @contextlib.asynccontextmanager
    async def connected(self, target):
        async with contextlib.AsyncExitStack() as stack:
            sdk = SdkClient(
                await transport_of(target, stack),
                mode=options.mode,
                read_timeout_seconds=features.PATIENCE,
                logging_callback=self.log,
                message_handler=self.hear,
                extensions=[Tasks()] if "tasks" in options.declare else None,
                **self.answers,
            )
            self.sdk = await stack.enter_async_context(sdk)
            self.revision = self.sdk.protocol_version
            self.modern = self.revision >= "2026"
            self.level = None
            yield self

    async def tools(self):
        return [tool.name for tool in (await self.sdk.list_tools(cache_mode="bypass")).tools]

    async def call(self, name, arguments, on_progress=None):
        async def report(progress, *_):
            on_progress(progress)

        meta = {"io.modelcontextprotocol/logLevel": self.level} if self.modern and self.level else None
        result = await self.sdk.call_tool(name, arguments, progress_callback=report if on_progress else None, meta=meta)
        return features.text_of(result.content, result.is_error)

    async def cancel_when(self, name, arguments, started):
        call = asyncio.create_task(self.call(name, arguments))
        await started
        call.cancel()
        await asyncio.wait([call])

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
        if uri:
            await self.sdk.subscribe_resource(uri)
        yield self.news_of(uri)
        if uri:
            await self.sdk.unsubscribe_resource(uri)

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


options = features.options(__doc__)
asyncio.run(features.run(options, Client(types, options.declare)))
