// The official TypeScript SDK 2 client, unchanged: `--mode auto` probes and falls back, `--mode 2026-07-28` is pinned.
// Same steps and same output as python_sdk.py.

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { asked, connect, openBrowser, parseOptions, use, waiting } from './typescript_client.mjs';

const options = parseOptions();
const mode = ['auto', 'legacy'].includes(options.mode) ? options.mode : { pin: options.mode };
const capabilities = options.elicit === 'url' ? { capabilities: { elicitation: { url: {} } } } : {};

function make(authProvider) {
    const client = new Client({ name: 'typescript-sdk-2', version: '1.0.0' }, { versionNegotiation: { mode }, ...capabilities });
    if (options.elicit === 'url') {
        client.setRequestHandler('elicitation/create', ({ params }) => {
            asked.push(params.message);
            openBrowser(params.url);
            return { action: 'accept' };
        });
    }
    return {
        client,
        transport: new StreamableHTTPClientTransport(new URL(options.url), { authProvider })
    };
}

const sdk = {
    make,
    finish: (transport, answer) => transport.finishAuth(answer),
    revisionOf: client => client.getNegotiatedProtocolVersion(),
    overStdio: options => new StdioClientTransport(options),
    UnauthorizedError
};
await use(await connect(options, sdk), options, (client, request) => client.callTool(request, waiting(options)));
