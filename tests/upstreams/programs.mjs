// Servers that are programs of their own: `server-everything` behind a header check, and FastMCP with its OAuth proxy.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { behind, front } from './front.mjs';

const here = name => fileURLToPath(new URL(name, import.meta.url));

/** A port nobody listens on at this moment. */
async function freePort() {
    const server = createServer();
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise(resolve => server.close(resolve));
    return port;
}

/** Ends with this process; gives when it first says that it is ready. */
async function program(command, args, environment, ready) {
    const child = spawn(command, args, { env: { PATH: process.env.PATH, HOME: process.env.HOME ?? '/tmp', ...environment }, stdio: ['pipe', 'pipe', 'pipe'] });
    process.on('exit', () => child.kill('SIGKILL'));
    let said = '';
    await new Promise((resolve, reject) => {
        for (const stream of [child.stdout, child.stderr]) {
            createInterface({ input: stream }).on('line', line => {
                said = `${said}${line}\n`.slice(-4000);
                if (ready.test(line)) resolve();
            });
        }
        child.on('error', reject);
        child.on('exit', code => reject(new Error(`${command} ended with ${code}:\n${said}`)));
    });
    return child;
}

/** `keys` are who may: { text: login }, in `header` after `prefix`. The program itself asks for nothing. */
export async function everything(id, { header = 'x-api-key', prefix = '', keys = {}, path = '/mcp' }) {
    const port = await freePort();
    const listener = await front();
    const server = { id, kind: { keys }, url: listener.origin + path, listener };
    await program(process.execPath, [here('node_modules/@modelcontextprotocol/server-everything/dist/index.js'), 'streamableHttp'], { PORT: String(port) }, /listening on port/i);
    const inner = await front();
    inner.to(port);
    listener.to(await behind((request, response) => {
        const value = request.headers[header.toLowerCase()] ?? '';
        if (!value.startsWith(prefix) || !server.kind.keys[value.slice(prefix.length)]) {
            response.writeHead(401, { 'content-type': 'application/json' });
            return void response.end('{"error":"a good API key is missing"}');
        }
        inner.pass(request, response);
    }));
    return server;
}

/** Its proxy is an authorization server to whoever calls, and a client of `authority`, one of ours. */
export async function fastmcp(id, { authority, python, trusts }, tls, authorities) {
    const listener = await front(tls);
    const house = authorities[authority];
    const port = await freePort();
    const client = { client_id: `fastmcp-${id}`, client_secret: `fastmcp-${id}-secret` };
    house.client({ ...client, redirect_uris: [`${listener.origin}/auth/callback`], grant_types: ['authorization_code', 'refresh_token'] });
    const options = { origin: listener.origin, port, authority: house.issuer, ...client, ...(trusts ? { trusts } : {}) };
    await program(python, [here('fastmcp_server.py'), JSON.stringify(options)], { SSL_CERT_FILE: tls.authority, FASTMCP_CHECK_FOR_UPDATES: 'off' }, /Application startup complete/);
    listener.to(port);
    return { id, kind: {}, url: `${listener.origin}/mcp`, issuer: listener.origin, listener };
}
