"""A server of an old revision on the official Python SDK 1.x: 1.7 speaks 2024-11-05 over HTTP+SSE, 1.9 2025-03-26 and
1.12 2025-06-18, over Streamable HTTP. What it offers is told in README.md.

usage: server_python1.py STATE (http | sse) PORT
"""

import asyncio
import inspect
import re
import sys
import weakref
from pathlib import Path

import anyio
import mcp.types as types
from mcp.server.lowlevel import NotificationOptions, Server
from pydantic import AnyUrl

STATE = Path(sys.argv[1])
CITIES = ["paris", "park", "party", "rome"]
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
ELICITS = hasattr(types, "ElicitRequest")

extra_tools = []
notes = {}
levels = weakref.WeakKeyDictionary()
watched = weakref.WeakKeyDictionary()


class Matrix(Server):
    def create_initialization_options(self, *_, **__):
        """Says that resources can be subscribed to, which this SDK leaves out."""
        changed = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        options = super().create_initialization_options(changed)
        options.capabilities.resources.subscribe = True
        return options


server = Matrix("matrix")


def note(key, what):
    """Outlives the session and the process: how often a tool really ran."""
    with open(STATE / re.sub(r"[^a-z0-9_-]", "", key), "a", encoding="utf-8") as file:
        file.write(what + "\n")


def lines(key):
    path = STATE / key
    return path.read_text().splitlines() if path.exists() else []


def tool(name, *arguments):
    schema = {"type": "object", "properties": {argument: {"type": "string"} for argument in arguments}, "required": list(arguments)}
    return types.Tool(name=name, description=f"The tool {name} of the matrix", inputSchema=schema)


async def list_tools(_):
    watched.setdefault(server.request_context.session, set())
    tools = [tool(name, "message" if name == "echo" else "key") for name in TOOLS] + [tool(name) for name in extra_tools]
    return types.ServerResult(types.ListToolsResult(tools=tools))


async def call_tool(request):
    context = server.request_context
    watched.setdefault(context.session, set())
    arguments = request.params.arguments or {}
    key = arguments.get("key", "")
    run = TOOLS.get(request.params.name)
    if run is None:
        return answer(f"no tool {request.params.name}", isError=True)
    if key:
        note(key, "start")
    try:
        text = await run(context, arguments)
    except anyio.get_cancelled_exc_class():
        note(key, "cancelled")
        raise
    except Exception as error:  # an answer for the model, as the SDK makes one
        if key:
            note(key, "failed")
        return answer(str(error), isError=True)
    if key:
        note(key, "done")
    return answer(text)


def answer(text, **more):
    return types.ServerResult(types.CallToolResult(content=[types.TextContent(type="text", text=text)], **more))


async def echo(_, arguments):
    return arguments["message"]


async def count(_, arguments):
    return str(lines(arguments["key"]).count("start"))


async def slow(context, arguments):
    """Says how far it is; `steps` of them."""
    steps = int(arguments.get("steps", "5"))
    for step in range(1, steps + 1):
        if context.meta and context.meta.progressToken is not None:
            progress = types.ProgressNotificationParams(progressToken=context.meta.progressToken, progress=step, total=steps)
            await tell(context, types.ProgressNotification(method="notifications/progress", params=progress))
        await anyio.sleep(0.02)
    return "finished"


async def ask(context, _):
    form = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    params = types.ElicitRequestParams(message="Which colour?", requestedSchema=form)
    said = await request_of_client(context, types.ElicitRequest(method="elicitation/create", params=params), types.ElicitResult)
    return f"{said.action} {(said.content or {}).get('colour')}"


async def think(context, _):
    question = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="What do you think?"))
    params = types.CreateMessageRequestParams(messages=[question], maxTokens=10)
    asked = types.CreateMessageRequest(method="sampling/createMessage", params=params)
    return (await request_of_client(context, asked, types.CreateMessageResult)).content.text


async def where(context, _):
    said = await request_of_client(context, types.ListRootsRequest(method="roots/list"), types.ListRootsResult)
    return " ".join(str(root.uri) for root in said.roots)


async def touch(_, arguments):
    """Changes a note and adds a tool, and tells every session that wants to know."""
    uri = f"note://{arguments['key']}"
    notes[uri] = "changed"
    if (name := f"new_{arguments['key']}") not in extra_tools:
        extra_tools.append(name)
    for session, uris in list(watched.items()):
        with anyio.move_on_after(1):
            try:
                if uri in uris:
                    await session.send_resource_updated(AnyUrl(uri))
                await session.send_tool_list_changed()
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass
    return "touched"


async def chat(context, arguments):
    wanted = LEVELS.index(levels.get(context.session, "debug"))
    for level in ("debug", "info", "warning"):
        if LEVELS.index(level) >= wanted:
            params = types.LoggingMessageNotificationParams(level=level, logger="matrix", data=f"{level} {arguments['key']}")
            await tell(context, types.LoggingMessageNotification(method="notifications/message", params=params))
    return "chatted"


TOOLS = {"echo": echo, "count": count, "slow": slow, "think": think, "where": where, "touch": touch, "chat": chat}
if ELICITS:
    TOOLS["ask"] = ask


async def request_of_client(context, request, result):
    """Asks the client on the stream of the call that needs the answer."""
    more = {}
    if "metadata" in inspect.signature(context.session.send_request).parameters:
        from mcp.shared.message import ServerMessageMetadata

        more["metadata"] = ServerMessageMetadata(related_request_id=context.request_id)
    return await context.session.send_request(types.ServerRequest(request), result, **more)


async def tell(context, notification):
    more = {}
    if "related_request_id" in inspect.signature(context.session.send_notification).parameters:
        more["related_request_id"] = context.request_id
    await context.session.send_notification(types.ServerNotification(notification), **more)


async def list_prompts(_):
    prompt = types.Prompt(name="greet", description="Greets", arguments=[types.PromptArgument(name="name", required=True)])
    return types.ServerResult(types.ListPromptsResult(prompts=[prompt]))


async def get_prompt(request):
    text = f"Hello, {(request.params.arguments or {}).get('name')}!"
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.ServerResult(types.GetPromptResult(messages=[message]))


async def complete(request):
    values = [city for city in CITIES if city.startswith(request.params.argument.value)]
    return types.ServerResult(types.CompleteResult(completion=types.Completion(values=values, total=len(values), hasMore=False)))


async def list_resources(_):
    board = types.Resource(uri=AnyUrl("note://board"), name="board", mimeType="text/plain")
    return types.ServerResult(types.ListResourcesResult(resources=[board]))


async def read_resource(request):
    uri = str(request.params.uri)
    contents = types.TextResourceContents(uri=request.params.uri, mimeType="text/plain", text=notes.get(uri, "as it was"))
    return types.ServerResult(types.ReadResourceResult(contents=[contents]))


async def subscribe(request):
    watched.setdefault(server.request_context.session, set()).add(str(request.params.uri))
    return types.ServerResult(types.EmptyResult())


async def unsubscribe(request):
    watched.setdefault(server.request_context.session, set()).discard(str(request.params.uri))
    return types.ServerResult(types.EmptyResult())


async def set_level(request):
    levels[server.request_context.session] = request.params.level
    return types.ServerResult(types.EmptyResult())


server.request_handlers.update(
    {
        types.ListToolsRequest: list_tools,
        types.CallToolRequest: call_tool,
        types.ListPromptsRequest: list_prompts,
        types.GetPromptRequest: get_prompt,
        types.CompleteRequest: complete,
        types.ListResourcesRequest: list_resources,
        types.ReadResourceRequest: read_resource,
        types.SubscribeRequest: subscribe,
        types.UnsubscribeRequest: unsubscribe,
        types.SetLevelRequest: set_level,
    }
)


async def serve(application, port):
    import uvicorn

    await uvicorn.Server(uvicorn.Config(application, port=int(port), interface="asgi3", lifespan="off", log_level="warning")).serve()


async def serve_http(port):
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    manager = StreamableHTTPSessionManager(app=server)
    async with manager.run():
        await serve(manager.handle_request, port)


async def serve_sse(port):
    from mcp.server.sse import SseServerTransport

    transport = SseServerTransport("/messages")

    async def application(scope, receive, send):
        if scope["method"] == "GET" and scope["path"] == "/sse":
            async with transport.connect_sse(scope, receive, send) as (read, write):
                await server.run(read, write, server.create_initialization_options())
        elif scope["method"] == "POST" and scope["path"] == "/messages":
            await transport.handle_post_message(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 405 if scope["path"] == "/sse" else 404, "headers": []})
            await send({"type": "http.response.body"})

    await serve(application, port)


asyncio.run({"http": serve_http, "sse": serve_sse}[sys.argv[2]](sys.argv[3]))
