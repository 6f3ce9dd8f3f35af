// The official TypeScript SDK 2 as a client, unchanged: `--mode legacy`, `auto` or a revision; the steps are in features.mjs.

import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';

import { Host, PATIENCE, parseOptions, run, textOf } from './features.mjs';

const options = parseOptions();
const mode = ['auto', 'legacy'].includes(options.mode) ? options.mode : { pin: options.mode };

const host = new Host(options);
const { capabilities } = host;
const sdk = new Client({ name: 'typescript-sdk-2', version: '1.0.0' }, { capabilities, versionNegotiation: { mode } });
let level;

if (capabilities.elicitation) sdk.setRequestHandler('elicitation/create', host.elicit);
if (capabilities.sampling) sdk.setRequestHandler('sampling/createMessage', host.think);
if (capabilities.roots) sdk.setRequestHandler('roots/list', host.roots);
sdk.setNotificationHandler('notifications/tools/list_changed', host.toolsChanged);
sdk.setNotificationHandler('notifications/resources/updated', host.resourceUpdated);
sdk.setNotificationHandler('notifications/message', host.log);

const client = {
    asked: host.asked,
    tools: async () => (await sdk.listTools(undefined, { cacheMode: 'bypass' })).tools.map(tool => tool.name),
    async call(name, given, onProgress) {
        const more = { timeout: PATIENCE, ...(onProgress && { onprogress: ({ progress }) => onProgress(progress) }) };
        const meta = modern && level ? { _meta: { 'io.modelcontextprotocol/logLevel': level } } : {};
        const result = await sdk.callTool({ name, arguments: given, ...meta }, more);
        return textOf(result);
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
        const { heard } = host.bellOf(uri);
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
        [host.onLog, level] = [heard, wanted];
        if (!modern) await sdk.setLoggingLevel(level);
    },
    /** Of the handshake revisions only: towards 2026-07-28 the package asks its host for a transport of its own. */
    async job(name, given) {
        const session = createTaskSessionFromClient(sdk, { endpointId: options.key });
        const { outcome } = await (await session.callTool(name, given)).settle();
        return textOf(resultFromTaskOutcome(outcome));
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
