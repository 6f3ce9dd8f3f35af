"""The official Python SDK 1.9 as a client, unchanged, whose newest revision is 2025-03-26. Its way of signing in knows nothing of
`resource`, so it comes with an access key. Same output as python_sdk.py.
"""

import argparse
import asyncio
import json

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def run(arguments):
    headers = {"Authorization": f"Bearer {arguments.key}"}
    async with (
        streamablehttp_client(arguments.url, headers=headers) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        revision = (await session.initialize()).protocolVersion
        tools = (await session.list_tools()).tools
        answers = []
        for tool, call in ((arguments.tool, json.loads(arguments.arguments)), (arguments.then, {})):
            result = await session.call_tool(tool, call)
            answers.append(" ".join(block.text for block in result.content if block.type == "text"))
    return {"tools": [tool.name for tool in tools], "answers": answers, "asked": [], "revision": revision}


def main():
    parser = argparse.ArgumentParser()
    for name in ("url", "tool", "arguments", "then", "key"):
        parser.add_argument(f"--{name}", required=True)
    # What the other scripts need.
    parser.add_argument("--pause")
    parser.add_argument("--callback-port")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
