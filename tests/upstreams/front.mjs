// The small proxy before everything here: it speaks https (or http), writes down what was asked, and does what networks
// and providers do on bad days. What is behind it does not know.
//
// A fault is one of a list, and the first that fits is what happens:
//   path, method, form: { grant_type: 'refresh_token' }, contains: 'text of the body'     which requests
//   skip: 2, times: 1            not the first two that fit, and then only once; without `times` for ever
//   act: 'drop'                  the request is lost: nobody behind hears of it
//   act: 'lose'                  the answer is lost: it was done, and the connection breaks
//   act: 'silent'                nothing at all comes back
//   act: 'hold', after: true     waits until it is released, before or after it was done
//   act: 'slow', milliseconds    waits, then goes on
//   act: 'status', status, headers, body (object or text)      answers instead
//   act: 'members', members      members of the JSON that comes back; null takes one away
//   act: 'redirect', to          sends it elsewhere
//   act: 'query', query          parameters of the address that a browser is sent to; null takes one away

import { createServer, request as ask } from 'node:http';
import { createServer as createSecure } from 'node:https';

import { body as bodyOf } from '../identity/listener.mjs';

const HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer'];

/** Listens; `to(port)` says what is behind. Without `tls` it speaks plain http at 127.0.0.1; with `tls.ca` callers show a certificate. */
export async function front(tls) {
    const listener = { state: 'up', seen: {}, requests: [], faults: [], held: [], port: undefined };
    const sockets = new Set();
    const answer = (request, response) => serve(listener, request, response).catch(() => response.destroy());
    const server = tls ? createSecure({ cert: tls.cert, key: tls.key, ...(tls.ca ? { ca: tls.ca, requestCert: true } : {}) }, answer) : createServer(answer);
    server.on('connection', socket => {
        if (listener.state === 'down') return void socket.destroy();
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
    });
    server.on('tlsClientError', () => {});
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    listener.host = `${tls ? 'localhost' : '127.0.0.1'}:${server.address().port}`;
    listener.origin = `${tls ? 'https' : 'http'}://${listener.host}`;
    listener.to = port => (listener.port = port);
    listener.become = state => {
        listener.state = state;
        if (state !== 'up') for (const socket of sockets) socket.destroy();
    };
    listener.pass = answer;
    listener.release = () => {
        for (const go of listener.held.splice(0)) go();
    };
    return listener;
}

async function serve(listener, request, response) {
    const text = await bodyOf(request);
    const path = request.url.split('?')[0];
    const note = { at: Math.floor(Date.now() / 1000), method: request.method, url: request.url, headers: request.headers, body: text };
    listener.requests.push(note);
    listener.seen[path] = (listener.seen[path] ?? 0) + 1;
    if (listener.state === 'silent') return;
    const fault = chosen(listener.faults, request, path, text);
    if (fault) note.fault = fault.act;
    const before = await begin(listener, fault, request, response);
    if (before === 'answered') return;
    await forward(listener, fault, note, request, response, text);
}

function chosen(faults, request, path, text) {
    const form = new URLSearchParams(text);
    const fits = fault =>
        (fault.path === undefined || path.endsWith(fault.path)) &&
        (fault.method === undefined || fault.method === request.method) &&
        (fault.contains === undefined || text.includes(fault.contains)) &&
        Object.entries(fault.form ?? {}).every(([name, value]) => form.get(name) === value);
    for (const fault of faults) {
        if (!fits(fault) || fault.times === 0) continue;
        if (fault.skip > 0) {
            fault.skip -= 1;
            continue;
        }
        if (fault.times !== undefined) fault.times -= 1;
        return { ...fault };
    }
    return undefined;
}

/** What happens before anybody behind hears of it. */
async function begin(listener, fault, request, response) {
    switch (fault?.act) {
        case 'drop':
            request.socket.destroy();
            return 'answered';
        case 'silent':
            return 'answered';
        case 'slow':
            await new Promise(resolve => setTimeout(resolve, fault.milliseconds));
            return 'goes on';
        case 'hold':
            if (!fault.after) await new Promise(resolve => listener.held.push(resolve));
            return 'goes on';
        case 'status': {
            const json = typeof fault.body === 'object';
            response.writeHead(fault.status, { 'content-type': json ? 'application/json' : 'text/plain', ...fault.headers });
            response.end(json ? JSON.stringify(fault.body) : fault.body ?? '');
            return 'answered';
        }
        case 'redirect':
            response.writeHead(307, { location: fault.to });
            response.end();
            return 'answered';
        default:
            return 'goes on';
    }
}

function forward(listener, fault, note, request, response, text) {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP.includes(name)));
    const secure = Boolean(request.socket.encrypted);
    Object.assign(headers, { 'x-forwarded-proto': secure ? 'https' : 'http', 'content-length': Buffer.byteLength(text) });
    if (text === '' && ['GET', 'DELETE', 'HEAD'].includes(request.method)) delete headers['content-length'];
    return new Promise((resolve, reject) => {
        const behind = ask({ host: '127.0.0.1', port: listener.port, method: request.method, path: request.url, headers }, answer => {
            pass(listener, fault, note, request, response, answer).then(resolve, reject);
        });
        behind.on('error', reject);
        response.on('close', () => behind.destroy());
        behind.end(text);
    });
}

async function pass(listener, fault, note, request, response, answer) {
    note.status = answer.statusCode;
    const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !HOP.includes(name)));
    // By the clock of the tests.
    headers.date = new Date().toUTCString();
    if (fault?.act === 'query' && headers.location) headers.location = redirected(headers.location, fault.query);
    const whole = ['lose', 'members', 'hold'].includes(fault?.act);
    if (!whole) {
        response.writeHead(answer.statusCode, headers);
        answer.pipe(response);
        return;
    }
    let text = await bodyOf(answer);
    if (fault.act === 'lose') return void request.socket.destroy();
    if (fault.act === 'hold' && fault.after) await new Promise(resolve => listener.held.push(resolve));
    if (fault.act === 'members') text = JSON.stringify(changed(JSON.parse(text), fault.members));
    response.writeHead(answer.statusCode, { ...headers, 'content-length': Buffer.byteLength(text) });
    response.end(text);
}

function changed(members, changes) {
    const result = { ...members, ...changes };
    for (const [name, value] of Object.entries(changes)) if (value === null) delete result[name];
    return result;
}

function redirected(location, query) {
    const target = URL.parse(location);
    if (!target?.searchParams.has('code') && !target?.searchParams.has('error')) return location;
    for (const [name, value] of Object.entries(query)) {
        if (value === null) target.searchParams.delete(name);
        else target.searchParams.set(name, value);
    }
    return target.href;
}

/** A plain listener that nobody but a front reaches; gives its port. */
export async function behind(answer) {
    const server = createServer(answer);
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    return server.address().port;
}
