"""The official Python SDK as a client, unchanged: 2.x and 1.x, each from its own virtual environment.

Signs in through OAuthClientProvider, lists the tools, calls one, lets the access token expire, calls again.
Prints one JSON object: the tools, the answers, the revision spoken.
"""

import argparse
import asyncio
import json
import os
import re
import shlex
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit

from mcp import ClientSession, types
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata

MODERN_SDK = int(version("mcp").split(".")[0]) >= 2


class Memory:
    """Where the SDK keeps tokens and its registration, for one run."""

    def __init__(self):
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Callback:
    """The loopback address that the authorization answer comes back to."""

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    async def listen(self, port):
        return await asyncio.start_server(self.serve, "127.0.0.1", port)

    async def serve(self, reader, writer):
        request_line = (await reader.readline()).decode()
        query = {name: values[0] for name, values in parse_qs(urlsplit(request_line.split(" ")[1]).query).items()}
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone")
        await writer.drain()
        writer.close()
        if not self.answer.done():
            self.answer.set_result(query)

    async def wait(self):
        query = await self.answer
        if "code" not in query:
            raise RuntimeError(f"authorization failed: {query}")
        if MODERN_SDK:
            from mcp.shared.auth import AuthorizationCodeResult

            return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))
        return query["code"], query.get("state")


async def open_browser(url):
    return await asyncio.create_subprocess_exec(*shlex.split(os.environ["BROWSER"]), url, stdout=2)


class Account:
    """What a client does that is asked to send its person to a page, for an account that a call needs."""

    def __init__(self, elicit):
        self.elicit = elicit
        self.asked = []

    @property
    def options(self):
        return {"elicitation_callback": self.answer} if self.elicit == "url" else {}

    async def answer(self, context, params):
        if params.mode != "url":
            return types.ElicitResult(action="decline")
        self.asked.append(params.message)
        await open_browser(params.url)
        return types.ElicitResult(action="accept")

    async def follow(self, text):
        """Without elicitation the person reads the answer and opens the link in it."""
        self.asked.append(text)
        browser = await open_browser(re.search(r"http://[^\s)\]>\"']*[\w/-]", text)[0])
        if await browser.wait() != 0:
            raise RuntimeError("the browser failed")


async def use(session, arguments, account):
    """List, call, let the token expire, call again. With an account to connect, the list comes after the call."""
    call = json.loads(arguments.arguments)
    tools = None if arguments.elicit else (await session.list_tools()).tools
    answers = []
    for attempt in range(2):
        if attempt > 0:
            await asyncio.sleep(arguments.pause)
        if attempt > 0 and arguments.then:
            result = await session.call_tool(arguments.then, {})
        else:
            result = await session.call_tool(arguments.tool, call)
        if arguments.elicit == "none" and not account.asked:
            await account.follow(text_of(result))
            result = await session.call_tool(arguments.tool, call)
        answers.append(text_of(result))
        tools = tools or (await session.list_tools()).tools
    return {"tools": [tool.name for tool in tools], "answers": answers, "asked": account.asked}


def text_of(result):
    return " ".join(block.text for block in result.content if block.type == "text")


def over_stdio(arguments):
    """The bridge in front of the server: it signs in, and this client knows of none of it."""
    from mcp.client.stdio import StdioServerParameters, stdio_client

    return stdio_client(StdioServerParameters(command=arguments.bridge, args=["bridge", arguments.url], env=dict(os.environ)))


async def run(arguments):
    account = Account(arguments.elicit)
    if arguments.bridge:
        return await converse(over_stdio(arguments), arguments, account)
    callback = Callback()
    await callback.listen(arguments.callback_port)
    auth = OAuthClientProvider(
        server_url=arguments.url,
        client_metadata=OAuthClientMetadata(
            client_name="Python SDK",
            redirect_uris=[f"http://127.0.0.1:{arguments.callback_port}/callback"],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        ),
        storage=Memory(),
        redirect_handler=open_browser,
        callback_handler=callback.wait,
        client_metadata_url=arguments.metadata_url,
    )
    async with create_mcp_http_client(auth=auth) as http_client:
        return await converse(streamable_http_client(arguments.url, http_client=http_client), arguments, account)


async def converse(transport, arguments, account):
    if MODERN_SDK:
        from mcp import Client

        async with Client(transport, mode=arguments.mode, **account.options) as client:
            return {**await use(client, arguments, account), "revision": client.protocol_version}
    async with transport as streams, ClientSession(streams[0], streams[1], **account.options) as session:
        revision = (await session.initialize()).protocolVersion
        return {**await use(session, arguments, account), "revision": revision}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--arguments", required=True)
    parser.add_argument("--pause", type=float, required=True)
    parser.add_argument("--callback-port", type=int, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--bridge", help="speak over standard streams to `portcullis bridge`, this program")
    parser.add_argument("--then", help="call this tool at the end, without arguments, instead of the same one again")
    parser.add_argument("--elicit", choices=["url", "none"], help="an account is missing: be sent to the page, or read the link")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
