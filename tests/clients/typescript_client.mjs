// What both TypeScript clients share: options, a provider that keeps everything in memory, the loopback address for the
// authorization answer, and the steps list → call → token expires → call.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

export function parseOptions() {
    const text = { type: 'string' };
    const { values } = parseArgs({
        options: { url: text, tool: text, arguments: text, pause: text, 'callback-port': text, 'metadata-url': text, mode: text, elicit: text, bridge: text, then: text, timeout: text }
    });
    return values;
}

/** Where the SDK keeps tokens and its registration, for one run; the browser is whatever BROWSER says. */
class Memory {
    constructor(options) {
        this.redirectUrl = `http://127.0.0.1:${options['callback-port']}/callback`;
        this.clientMetadataUrl = options['metadata-url'];
        this.clientMetadata = {
            client_name: 'TypeScript SDK',
            redirect_uris: [this.redirectUrl],
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            token_endpoint_auth_method: 'none'
        };
        this.kept = {};
        this.sentState = randomUUID();
    }

    state = () => this.sentState;
    clientInformation = () => this.kept.client;
    saveClientInformation = client => void (this.kept.client = client);
    tokens = () => this.kept.tokens;
    saveTokens = tokens => void (this.kept.tokens = tokens);
    codeVerifier = () => this.kept.verifier;
    saveCodeVerifier = verifier => void (this.kept.verifier = verifier);
    discoveryState = () => this.kept.discovery;
    saveDiscoveryState = discovery => void (this.kept.discovery = discovery);

    redirectToAuthorization(url) {
        openBrowser(url.href);
    }
}

/** Opens a page as the person would; gives when the browser is closed again. */
export function openBrowser(url) {
    const [program, ...args] = process.env.BROWSER.split(' ');
    const browser = spawn(program, [...args, url], { stdio: ['ignore', 2, 2] });
    const closed = new Promise((resolve, reject) => browser.on('exit', code => (code === 0 ? resolve() : reject(new Error('the browser failed')))));
    closed.catch(() => {});
    return closed;
}

/** What a client may be asked on the way: to send its person to a page for an account that a call needs. */
export const asked = [];

function listen(port) {
    return new Promise((resolve, reject) => {
        const server = createServer((req, res) => {
            const answer = new URL(req.url, 'http://127.0.0.1').searchParams;
            res.end('done');
            server.close();
            resolve(answer);
        }).listen(Number(port), '127.0.0.1');
        server.on('error', reject);
        server.unref();
    });
}

/** Connects; on the 401 waits for the person, redeems the code and connects once more, as the SDKs' guides say. */
export async function connect(options, { make, finish, revisionOf, overStdio, UnauthorizedError }) {
    if (options.bridge) {
        // The bridge in front of the server signs in, and this client knows of none of it.
        const bridged = { ...make(undefined), transport: overStdio({ command: options.bridge, args: ['bridge', options.url], env: process.env }) };
        await bridged.client.connect(bridged.transport);
        return { ...bridged, revision: revisionOf(bridged.client, bridged.transport) };
    }
    const provider = new Memory(options);
    const answered = listen(options['callback-port']);
    const first = make(provider);
    try {
        await first.client.connect(first.transport);
        throw new Error('the server let an anonymous client in');
    } catch (error) {
        if (!(error instanceof UnauthorizedError) && !(error.cause instanceof UnauthorizedError)) throw error;
    }
    const keepAlive = setInterval(() => {}, 1000);
    const answer = await answered;
    clearInterval(keepAlive);
    if (answer.get('state') !== provider.sentState) throw new Error('state came back changed');
    if (!answer.get('code')) throw new Error(`authorization failed: ${answer}`);
    await finish(first.transport, answer);
    const second = make(provider);
    await second.client.connect(second.transport);
    return { ...second, revision: revisionOf(second.client, second.transport) };
}

/**
 * Waits no longer than `--timeout` seconds without a sign of life. Signs of life are progress, and come only to whoever asks for it.
 */
export const waiting = ({ timeout }) => timeout && { timeout: Number(timeout) * 1000, resetTimeoutOnProgress: true, onprogress: () => {} };

/** `call` may do more than call; with an account to connect, the list comes after the first call. */
export async function use({ client, transport, revision }, options, call) {
    let tools = options.elicit ? undefined : (await client.listTools()).tools;
    const answers = [];
    const request = { name: options.tool, arguments: JSON.parse(options.arguments) };
    for (const [pause, next] of [[0, request], [Number(options.pause), options.then ? { name: options.then, arguments: {} } : request]]) {
        await sleep(pause * 1000);
        const result = await call(client, next);
        tools ??= (await client.listTools()).tools;
        answers.push(result.content.filter(block => block.type === 'text').map(block => block.text).join(' '));
    }
    console.log(JSON.stringify({ tools: tools.map(tool => tool.name), answers, revision, asked }));
    await transport.terminateSession?.().catch(() => {});
    await client.close();
}
