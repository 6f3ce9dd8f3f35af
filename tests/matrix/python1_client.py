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


class Client(features.Host):
    @contextlib.asynccontextmanager
    async def connected(self, target):
        async with transport(target) as streams:
            async with ClientSession(
                streams[0],
                streams[1],
                read_timeout_seconds=timedelta(seconds=features.PATIENCE),
                logging_callback=self.log,
                message_handler=self.hear,
                **self.answers,
            ) as self.sdk:
                self.revision = (await self.sdk.initialize()).protocolVersion
                yield self

    async def tools(self):
        return [tool.name for tool in (await self.sdk.list_tools()).tools]

    async def call(self, name, arguments, on_progress=None):
        async def report(progress, *_):
            on_progress(progress)

        if not on_progress:
            result = await self.sdk.call_tool(name, arguments)
        elif "progress_callback" in inspect.signature(self.sdk.call_tool).parameters:
            result = await self.sdk.call_tool(name, arguments, progress_callback=report)
        else:
            self.on_progress = on_progress
            meta = types.RequestParams.Meta(progressToken="slow")
            params = types.CallToolRequestParams(name=name, arguments=arguments, _meta=meta)
            request = types.ClientRequest(types.CallToolRequest(method="tools/call", params=params))
            result = await self.sdk.send_request(request, types.CallToolResult)
        return features.text_of(result.content, result.isError)

    async def cancel_when(self, name, arguments, started):
        """This SDK leaves it to the application to say that a request is cancelled."""
        number = self.sdk._request_id
        call = asyncio.create_task(self.call(name, arguments))
        await started
        params = types.CancelledNotificationParams(requestId=number, reason="changed my mind")
        cancelled = types.CancelledNotification(method="notifications/cancelled", params=params)
        await self.sdk.send_notification(types.ClientNotification(cancelled))
        call.cancel()
        await asyncio.wait([call])

    async def read(self, uri):
        return (await self.sdk.read_resource(AnyUrl(uri))).contents[0].text

    @contextlib.asynccontextmanager
    async def watching(self, uri):
        if uri:
            await self.sdk.subscribe_resource(AnyUrl(uri))
        yield self.news_of(uri)
        if uri:
            await self.sdk.unsubscribe_resource(AnyUrl(uri))

    async def listen_to_logs(self, level, heard):
        self.on_log = heard
        await self.sdk.set_logging_level(level)

    async def job(self, name, arguments):
        tasks = self.sdk.experimental
        task = (await tasks.call_tool_as_task(name, arguments)).task
        async for status in tasks.poll_task(task.taskId):
            last = status.status
        if last != "completed":
            raise features.ToolError(f"the task is {last}")
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


options = features.options(__doc__)
asyncio.run(features.run(options, Client(types, options.declare)))
