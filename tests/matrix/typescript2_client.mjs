// The official TypeScript SDK 2 as a client, unchanged: `--mode legacy`, `auto` or a revision; the steps are in features.mjs.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';

import { Bell, COLOUR, PATIENCE, ROOT, THOUGHT, parseOptions, run } from './features.mjs';

const options = parseOptions();
const mode = ['auto', 'legacy'].includes(options.mode) ? options.mode : { pin: options.mode };

const CAPABILITIES = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const capabilities = Object.fromEntries(options.declare.filter(name => name in CAPABILITIES).map(name => [name, CAPABILITIES[name]]));
const sdk = new Client({ name: 'typescript-sdk-2', version: '1.0.0' }, { capabilities, versionNegotiation: { mode } });
const asked = [];
const changed = new Bell();
const updated = new Map();
let onLog = () => {};
let level;

const bellOf = uri => updated.get(uri) ?? updated.set(uri, new Bell()).get(uri);
const text = result => result.content.map(block => block.text).join(' ');

if (capabilities.elicitation) {
    sdk.setRequestHandler('elicitation/create', ({ params }) => {
        asked.push(params.mode === 'url' ? ['url', params.url] : ['form', params.message]);
        return params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { colour: COLOUR } };
    });
}
if (capabilities.sampling) {
    sdk.setRequestHandler('sampling/createMessage', () => ({ role: 'assistant', content: { type: 'text', text: THOUGHT }, model: 'none' }));
}
if (capabilities.roots) sdk.setRequestHandler('roots/list', () => ({ roots: [{ uri: ROOT }] }));
sdk.setNotificationHandler('notifications/tools/list_changed', () => changed.ring());
sdk.setNotificationHandler('notifications/resources/updated', ({ params }) => bellOf(params.uri).ring());
sdk.setNotificationHandler('notifications/message', ({ params }) => onLog(params.data));

const client = {
    asked,
    tools: async () => (await sdk.listTools(undefined, { cacheMode: 'bypass' })).tools.map(tool => tool.name),
    async call(name, given, onProgress) {
        const more = { timeout: PATIENCE, ...(onProgress && { onprogress: ({ progress }) => onProgress(progress) }) };
        const meta = modern && level ? { _meta: { 'io.modelcontextprotocol/logLevel': level } } : {};
        const result = await sdk.callTool({ name, arguments: given, ...meta }, more);
        if (result.isError) throw new Error(text(result));
        return text(result);
    },
    async cancelWhen(name, given, started) {
        const abort = new AbortController();
        const call = sdk.callTool({ name, arguments: given }, { signal: abort.signal }).catch(() => {});
        await started;
        abort.abort('changed my mind');
        await call;
    },
    resources: async () => (await sdk.listResources()).resources.map(resource => resource.uri),
    read: async uri => (await sdk.readResource({ uri }, { cacheMode: 'bypass' })).contents[0].text,
    async watch(uri) {
        const { heard } = uri ? bellOf(uri) : changed;
        if (modern) {
            const subscription = await sdk.listen(uri ? { resourceSubscriptions: [uri] } : { toolsListChanged: true });
            return { heard, stop: () => subscription.close() };
        }
        if (!uri) return { heard, stop: () => {} };
        await sdk.subscribeResource({ uri });
        return { heard, stop: () => sdk.unsubscribeResource({ uri }) };
    },
    prompts: async () => (await sdk.listPrompts()).prompts.map(prompt => prompt.name),
    prompt: async (name, given) => (await sdk.getPrompt({ name, arguments: given })).messages[0].content.text,
    complete: async (name, argument, value) =>
        (await sdk.complete({ ref: { type: 'ref/prompt', name }, argument: { name: argument, value } })).completion.values,
    async listenToLogs(wanted, heard) {
        [onLog, level] = [heard, wanted];
        if (!modern) await sdk.setLoggingLevel(level);
    },
    /** Of the handshake revisions only: towards 2026-07-28 the package asks its host for a transport of its own. */
    async job(name, given) {
        const session = createTaskSessionFromClient(sdk, { endpointId: options.key });
        const { outcome } = await (await session.callTool(name, given)).settle();
        return text(resultFromTaskOutcome(outcome));
    }
};

function transport({ url, transport, headers = {}, command }) {
    if (command) return new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env, stderr: 'inherit' });
    const Transport = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
    return new Transport(new URL(url), { requestInit: { headers } });
}

const connection = transport(options.target);
await sdk.connect(connection);
const revision = sdk.getNegotiatedProtocolVersion();
const modern = revision >= '2026';
console.log(JSON.stringify({ revision }));
await run(client, options);
await connection.terminateSession?.().catch(() => {});
await sdk.close();
process.exit();
