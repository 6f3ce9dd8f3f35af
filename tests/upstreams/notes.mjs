// MCP servers made of the official TypeScript SDKs, 2 (2026-07-28, and older revisions without sessions) and 1 (2025-11-25,
// with sessions), each behind the SDK's own bearer check. `whoami` says whose credential called.
//
// kind `oauth`: tokens of an `authority` here       kind `exchange`: JWTs of `issuer`, whose keys are `jwks`, for this resource
// kind `key`: `keys` { text: login } in `header`, after `prefix`       kind `own`: the gateway's assertion in `header`

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { createMcpExpressApp, mcpAuthMetadataRouter, requireBearerAuth } from '@modelcontextprotocol/express';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { McpServer, OAuthError, OAuthErrorCode, createMcpHandler, requireScopes } from '@modelcontextprotocol/server';
import { createLocalJWKSet, createRemoteJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';

import { behind, front } from './front.mjs';

export async function notes(id, options, tls, authorities) {
    const server = new Notes(id, { kind: 'oauth', sdk: 2, tls: false, path: '/mcp', ...options }, authorities);
    // `callers`: only those with a certificate of the same authority may come in.
    const callers = server.kind.callers ? { ca: readFileSync(tls.authority) } : {};
    server.listener = await front(server.kind.tls ? { ...tls, ...callers } : undefined);
    server.url = server.listener.origin + server.kind.path;
    server.listener.to(await behind(server.app()));
    return server;
}

class Notes {
    constructor(id, kind, authorities) {
        Object.assign(this, { id, kind, authorities, sessions: new Map(), kept: [] });
    }

    app() {
        const app = createMcpExpressApp({ host: 'localhost' });
        const { kind } = this;
        const resource = new URL(this.url);
        const issuer = kind.issuer ?? this.authorities[kind.authority]?.issuer;
        if (issuer) {
            const oauthMetadata = { issuer, authorization_endpoint: `${issuer}/auth`, token_endpoint: `${issuer}/token`, response_types_supported: ['code'] };
            app.use(mcpAuthMetadataRouter({ oauthMetadata, resourceServerUrl: resource, scopesSupported: kind.scopes ?? ['notes:read'] }));
        }
        app.all(kind.path, this.check(resource), kind.sdk === 1 ? this.sessionful() : this.stateless());
        return app;
    }

    // ---- who may come in

    check(resource) {
        const { kind } = this;
        if (kind.kind === 'key' || kind.kind === 'own') return (request, response, next) => this.checkHeader(request, response, next);
        const resourceMetadataUrl = `${resource.origin}/.well-known/oauth-protected-resource${resource.pathname}`;
        const verifier = { verifyAccessToken: token => (kind.kind === 'exchange' ? this.signed(token, resource) : this.opaque(token)) };
        const bearer = requireBearerAuth({ verifier, requiredScopes: kind.required ?? [], resourceMetadataUrl, expectedResource: resource });
        return kind.guests ? (request, response, next) => (request.headers.authorization ? bearer(request, response, next) : next()) : bearer;
    }

    async opaque(token) {
        const known = await this.authorities[this.kind.authority].known(token);
        if (!known) throw new OAuthError(OAuthErrorCode.InvalidToken, 'unknown token');
        return known;
    }

    async signed(token, resource) {
        try {
            const { payload } = await jwtVerify(token, createLocalJWKSet(this.kind.jwks), { issuer: this.kind.issuer, audience: this.kind.audience ?? resource.href, currentDate: new Date() });
            return { token, clientId: payload.client_id ?? payload.azp, scopes: (payload.scope ?? '').split(' '), expiresAt: payload.exp, resource, extra: { login: payload.preferred_username } };
        } catch (error) {
            throw new OAuthError(OAuthErrorCode.InvalidToken, String(error.message));
        }
    }

    async checkHeader(request, response, next) {
        const { header = 'authorization', prefix = header === 'authorization' ? 'Bearer ' : '', keys = {}, jwks } = this.kind;
        const value = request.headers[header.toLowerCase()] ?? '';
        const given = value.startsWith(prefix) ? value.slice(prefix.length) : undefined;
        let login = keys[given];
        if (this.kind.kind === 'own' && given && jwks) {
            try {
                const { payload } = await jwtVerify(given, createRemoteJWKSet(new URL(jwks)), { audience: this.url, issuer: new URL(jwks).origin, typ: 'portcullis-identity+jwt', currentDate: new Date() });
                login = payload.preferred_username ?? payload.name ?? payload.sub;
            } catch {
                login = undefined;
            }
        }
        if (!login) return void response.status(401).json({ error: 'a good key is missing' });
        request.auth = { token: given, clientId: 'key', scopes: [], extra: { login } };
        next();
    }

    // ---- what it serves

    stateless() {
        const handler = createMcpHandler(() => this.fill(new McpServer({ name: this.id, version: '2.0.0' }), ctx => ctx.http?.authInfo));
        return (request, response) => toNodeHandler(handler)(request, response, request.body);
    }

    sessionful() {
        return async (request, response) => {
            const id = request.headers['mcp-session-id'];
            let transport = this.sessions.get(id);
            if (!transport && id) return void response.status(404).json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null });
            if (!transport) {
                transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => randomUUID(), onsessioninitialized: id => this.sessions.set(id, transport) });
                await this.fill(new McpServer1({ name: this.id, version: '1.0.0' }), extra => extra.authInfo).connect(transport);
            }
            await transport.handleRequest(request, response, request.body);
        };
    }

    fill(server, who) {
        const text = value => ({ content: [{ type: 'text', text: value }] });
        const said = auth => `${auth?.extra?.login ?? 'nobody'} at ${this.id}`;
        server.registerTool('whoami', { description: 'Says whose credential called', annotations: { readOnlyHint: true } }, ctx => text(said(who(ctx))));
        const write = { description: 'Keeps a note', inputSchema: z.object({ text: z.string() }), annotations: { readOnlyHint: false } };
        if (this.kind.sdk === 1) write.inputSchema = { text: z.string() };
        else if (this.kind.stepUp) write.scopeChallenge = requireScopes('notes:read', 'notes:write');
        server.registerTool('write_note', write, ({ text: note }, ctx) => {
            this.kept.push(`${said(who(ctx))}: ${note}`);
            return text(`kept ${note} for ${said(who(ctx))}`);
        });
        return server;
    }
}
