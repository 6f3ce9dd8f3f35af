// The official TypeScript SDK 1.x as a client, unchanged. Same steps and same output as python_sdk.py.

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { connect, parseOptions, use } from './typescript_client.mjs';

const options = parseOptions();
const sdk = {
    make: authProvider => ({
        client: new Client({ name: 'typescript-sdk-1', version: '1.0.0' }),
        transport: new StreamableHTTPClientTransport(new URL(options.url), { authProvider })
    }),
    finish: (transport, answer) => transport.finishAuth(answer.get('code')),
    revisionOf: (client, transport) => transport.protocolVersion,
    UnauthorizedError
};
await use(await connect(options, sdk), options);
