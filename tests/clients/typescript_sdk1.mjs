// The official TypeScript SDK 1.x as a client, unchanged. Same steps and same output as python_sdk.py.

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ElicitationCompleteNotificationSchema, UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js';

import { asked, connect, openBrowser, parseOptions, use, waiting } from './typescript_client.mjs';

const options = parseOptions();

function make(authProvider) {
    const client = new Client({ name: 'typescript-sdk-1', version: '1.0.0' }, options.elicit === 'url' ? { capabilities: { elicitation: { url: {} } } } : {});
    if (options.elicit === 'url') {
        // Asked in the middle of a call, it opens the page and goes on waiting.
        client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
            asked.push(params.message);
            openBrowser(params.url);
            return { action: 'accept' };
        });
    }
    return { client, transport: new StreamableHTTPClientTransport(new URL(options.url), { authProvider }) };
}

const sdk = {
    make,
    finish: (transport, answer) => transport.finishAuth(answer.get('code')),
    // What the transport over standard streams agreed on, this SDK does not tell.
    revisionOf: (client, transport) => transport.protocolVersion,
    overStdio: options => new StdioClientTransport(options),
    UnauthorizedError
};

/** Told that a page must be opened first, opens it, waits to hear that it is done, and calls again. */
async function call(client, request) {
    const completed = new Promise(resolve => client.setNotificationHandler(ElicitationCompleteNotificationSchema, ({ params }) => resolve(params.elicitationId)));
    try {
        return await client.callTool(request);
    } catch (error) {
        if (!(error instanceof UrlElicitationRequiredError)) throw error;
        const [{ elicitationId, message, url }] = error.elicitations;
        asked.push(message);
        const keepAlive = setInterval(() => {}, 1000);
        openBrowser(url);
        const done = await completed;
        clearInterval(keepAlive);
        if (done !== elicitationId) throw new Error(`${done} is complete, not ${elicitationId}`);
        return client.callTool(request);
    }
}

const plainly = (client, request) => client.callTool(request, undefined, waiting(options));
await use(await connect(options, sdk), options, options.elicit ? call : plainly);
