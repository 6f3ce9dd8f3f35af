// The official TypeScript SDK 1.x as a client, unchanged; the steps are in features.mjs.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

import { Host, PATIENCE, parseOptions, run, textOf } from './features.mjs';

const options = parseOptions();
const host = new Host(options);
const { capabilities } = host;
const sdk = new Client({ name: 'typescript-sdk-1', version: '1.0.0' }, { capabilities });

if (capabilities.elicitation) sdk.setRequestHandler(types.ElicitRequestSchema, host.elicit);
if (capabilities.sampling) sdk.setRequestHandler(types.CreateMessageRequestSchema, host.think);
if (capabilities.roots) sdk.setRequestHandler(types.ListRootsRequestSchema, host.roots);
sdk.setNotificationHandler(types.ToolListChangedNotificationSchema, host.toolsChanged);
sdk.setNotificationHandler(types.ResourceUpdatedNotificationSchema, host.resourceUpdated);
sdk.setNotificationHandler(types.LoggingMessageNotificationSchema, host.log);

const client = {
    asked: host.asked,
    tools: async () => (await sdk.listTools()).tools.map(tool => tool.name),
    async call(name, given, onProgress) {
        const more = { timeout: PATIENCE, ...(onProgress && { onprogress: ({ progress }) => onProgress(progress) }) };
        const result = await sdk.callTool({ name, arguments: given }, undefined, more);
        return textOf(result);
    },
    async cancelWhen(name, given, started) {
        const abort = new AbortController();
        const call = sdk.callTool({ name, arguments: given }, undefined, { signal: abort.signal }).catch(() => {});
        await started;
        abort.abort('changed my mind');
        await call;
    },
    resources: async () => (await sdk.listResources()).resources.map(resource => resource.uri),
    read: async uri => (await sdk.readResource({ uri })).contents[0].text,
    async watch(uri) {
        const { heard } = host.bellOf(uri);
        if (!uri) return { heard, stop: () => {} };
        await sdk.subscribeResource({ uri });
        return { heard, stop: () => sdk.unsubscribeResource({ uri }) };
    },
    prompts: async () => (await sdk.listPrompts()).prompts.map(prompt => prompt.name),
    prompt: async (name, given) => (await sdk.getPrompt({ name, arguments: given })).messages[0].content.text,
    complete: async (name, argument, value) =>
        (await sdk.complete({ ref: { type: 'ref/prompt', name }, argument: { name: argument, value } })).completion.values,
    async listenToLogs(level, heard) {
        host.onLog = heard;
        await sdk.setLoggingLevel(level);
    },
    async job(name, given) {
        for await (const message of sdk.experimental.tasks.callToolStream({ name, arguments: given }, undefined, { task: {} })) {
            if (message.type === 'error') throw message.error;
            if (message.type === 'result') return textOf(message.result);
        }
    }
};

function transport({ url, transport, headers = {}, command }) {
    if (command) {
        return new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env, stderr: 'inherit' });
    }
    const Transport = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
    return new Transport(new URL(url), { requestInit: { headers } });
}

const connection = transport(options.target);
// Over standard streams the transport does not keep the revision.
connection.setProtocolVersion ??= version => (connection.protocolVersion = version);
await sdk.connect(connection);
const revision = connection._protocolVersion ?? connection.protocolVersion;
console.log(JSON.stringify({ revision }));
await run(client, options);
await connection.terminateSession?.().catch(() => {});
await sdk.close();
process.exit();
