// The demo authorization server of the official TypeScript SDK, unchanged, with a server of the same SDK: everybody is its
// demo user, tokens last an hour, and there is nothing to refresh them with.

import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { createOAuthMetadata } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';

import { behind, front } from './front.mjs';

export async function demo(id, options, tls) {
    const listener = await front(tls);
    const issuer = await front(tls);
    const url = new URL(`${listener.origin}/mcp`);
    const issuerUrl = new URL(issuer.origin);
    const provider = new DemoInMemoryAuthProvider(resource => resource?.href === url.href);
    const scopesSupported = ['mcp:tools'];

    const authorization = express();
    // Behind the front.
    authorization.set('trust proxy', 'loopback');
    authorization.use(mcpAuthRouter({ provider, issuerUrl, scopesSupported }));
    issuer.to(await behind(authorization));

    const app = express();
    app.use(express.json());
    app.use(mcpAuthMetadataRouter({ oauthMetadata: createOAuthMetadata({ provider, issuerUrl, scopesSupported }), resourceServerUrl: url, scopesSupported }));
    const bearer = requireBearerAuth({ verifier: provider, requiredScopes: scopesSupported, resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(url) });
    app.all('/mcp', bearer, async (request, response) => {
        const server = new McpServer({ name: id, version: '1.0.0' });
        server.registerTool('whoami', { description: 'Says which client called' }, extra => ({ content: [{ type: 'text', text: `${extra.authInfo.clientId} at ${id}` }] }));
        const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
        await server.connect(transport);
        await transport.handleRequest(request, response, request.body);
    });
    listener.to(await behind(app));
    return { id, url: url.href, issuer: issuer.origin, listener, listeners: { issuer } };
}
