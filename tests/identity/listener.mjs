// A TLS listener on loopback that counts what it is asked, and that can be unreachable or silent for a while.

import { createServer } from 'node:https';

export async function listen(tls, answer) {
    const sockets = new Set();
    const listener = { state: 'up', seen: {}, requests: [] };
    const server = createServer({ cert: tls.cert, key: tls.key }, (request, response) => {
        const path = request.url.split('?')[0];
        listener.requests.push({ method: request.method, url: request.url });
        listener.seen[path] = (listener.seen[path] ?? 0) + 1;
        if (listener.state === 'silent') return;
        // By the clock of the tests.
        response.setHeader('date', new Date().toUTCString());
        answer(request, response);
    });
    server.on('connection', socket => {
        if (listener.state === 'down') return void socket.destroy();
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
    });
    // A test may keep the connection it has been refused on.
    server.on('tlsClientError', () => {});
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    listener.host = `localhost:${server.address().port}`;
    listener.become = state => {
        listener.state = state;
        if (state !== 'up') for (const socket of sockets) socket.destroy();
    };
    return listener;
}

/** The whole body of a request. */
export async function body(request) {
    const parts = [];
    for await (const part of request) parts.push(part);
    return Buffer.concat(parts).toString();
}

export function json(response, status, value, headers = {}) {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
}

export function html(response, status, markup) {
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`<!doctype html><title>Provider</title><main>${markup}</main>`);
}

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export const escaped = text => String(text ?? '').replace(/[&<>"']/g, c => entities[c]);
