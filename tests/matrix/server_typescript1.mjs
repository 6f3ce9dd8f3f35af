// A server of 2025-11-25 on the official TypeScript SDK 1.x, over Streamable HTTP or on standard streams. What it offers is
// told in README.md.
//
// usage: node server_typescript1.mjs STATE (PORT | stdio)

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

import { LEVELS, Notebook, PAGE, PROMPTS, RESOURCES, completion, form, greeting, sleep, text, tools } from './offer.mjs';

const [state, port] = process.argv.slice(2);
const book = new Notebook(state);
const tasks = new InMemoryTaskStore();
const servers = new Map();

const TOOLS = {
    echo: (_, { message }) => message,
    count: (_, { key }) => String(book.starts(key)),
    async slow(extra, { steps = '5' }) {
        const progressToken = extra._meta?.progressToken;
        for (let progress = 1; progress <= Number(steps); progress++) {
            extra.signal.throwIfAborted();
            if (progressToken !== undefined) {
                const params = { progressToken, progress, total: Number(steps) };
                await extra.sendNotification({ method: 'notifications/progress', params });
            }
            await sleep(20);
        }
        return 'finished';
    },
    async ask(extra) {
        const params = { mode: 'form', message: 'Which colour?', requestedSchema: form };
        const said = await extra.sendRequest({ method: 'elicitation/create', params }, types.ElicitResultSchema);
        return `${said.action} ${said.content?.colour}`;
    },
    async open(extra) {
        const params = { mode: 'url', message: 'Please look', url: PAGE, elicitationId: randomUUID() };
        return (await extra.sendRequest({ method: 'elicitation/create', params }, types.ElicitResultSchema)).action;
    },
    async think(extra) {
        const messages = [{ role: 'user', content: { type: 'text', text: 'What do you think?' } }];
        const params = { messages, maxTokens: 10 };
        return (await extra.sendRequest({ method: 'sampling/createMessage', params }, types.CreateMessageResultSchema)).content.text;
    },
    async where(extra) {
        const said = await extra.sendRequest({ method: 'roots/list' }, types.ListRootsResultSchema);
        return said.roots.map(root => root.uri).join(' ');
    },
    async touch(_, { key }) {
        const uri = book.touch(key);
        for (const { server, watched } of servers.values()) {
            if (watched.has(uri)) await server.sendResourceUpdated({ uri });
            await server.sendToolListChanged();
        }
        return 'touched';
    },
    async chat(extra, { key }, session) {
        for (const level of ['debug', 'info', 'warning'].filter(level => LEVELS.indexOf(level) >= LEVELS.indexOf(session.level))) {
            const params = { level, logger: 'matrix', data: `${level} ${key}` };
            await extra.sendNotification({ method: 'notifications/message', params });
        }
        return 'chatted';
    }
};

/** A task, always: a call without `task` is refused. */
async function job({ key }, extra, request) {
    if (!request.params.task) throw new types.McpError(types.ErrorCode.MethodNotFound, 'job runs as a task only');
    const task = await extra.taskStore.createTask({ ttl: 60_000, pollInterval: 20 });
    setTimeout(async () => {
        book.write(key, 'done');
        await tasks.storeTaskResult(task.taskId, 'completed', text('job done'), extra.sessionId);
    }, 30);
    return { task };
}

async function callTool(request, extra, session) {
    const { name, arguments: given = {} } = request.params;
    const { key } = given;
    if (!(name in TOOLS) && name !== 'job') return { ...text(`no tool ${name}`), isError: true };
    if (key) book.write(key, 'start');
    if (name === 'job') return job(given, extra, request);
    try {
        const said = await TOOLS[name](extra, given, session);
        if (key) book.write(key, 'done');
        return text(said);
    } catch (error) {
        if (key) book.write(key, extra.signal.aborted ? 'cancelled' : 'failed');
        return { ...text(String(error.message ?? error)), isError: true };
    }
}

function build() {
    const listChanged = true;
    const capabilities = {
        tools: { listChanged },
        prompts: { listChanged },
        resources: { listChanged, subscribe: true },
        completions: {},
        logging: {},
        tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } }
    };
    const server = new Server({ name: 'matrix', version: '1.0.0' }, { capabilities, taskStore: tasks });
    const session = { server, watched: new Set(), level: 'debug' };
    const names = ['count', 'slow', 'ask', 'open', 'think', 'where', 'touch', 'chat', 'job'];
    const on = (schema, handler) => server.setRequestHandler(schema, handler);
    on(types.ListToolsRequestSchema, () => ({ tools: tools(names, book, { job: { execution: { taskSupport: 'required' } } }) }));
    on(types.CallToolRequestSchema, (request, extra) => callTool(request, extra, session));
    on(types.ListPromptsRequestSchema, () => PROMPTS);
    on(types.GetPromptRequestSchema, greeting);
    on(types.CompleteRequestSchema, completion);
    on(types.ListResourcesRequestSchema, () => RESOURCES);
    on(types.ReadResourceRequestSchema, ({ params }) => book.read(params.uri));
    on(types.SubscribeRequestSchema, ({ params: { uri } }) => (session.watched.add(uri), {}));
    on(types.UnsubscribeRequestSchema, ({ params: { uri } }) => (session.watched.delete(uri), {}));
    on(types.SetLevelRequestSchema, ({ params: { level } }) => ((session.level = level), {}));
    return session;
}

const transports = new Map();

async function serve(req, res) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
    const known = transports.get(req.headers['mcp-session-id']);
    if (known) return known.handleRequest(req, res, body);
    if (body?.method !== 'initialize') {
        const message = req.headers['mcp-session-id'] ? 'Session not found' : 'A session is needed';
        res.writeHead(req.headers['mcp-session-id'] ? 404 : 400, { 'content-type': 'application/json' });
        return res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message } }));
    }
    const session = build();
    const forget = id => (transports.delete(id), servers.delete(id));
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: id => (transports.set(id, transport), servers.set(id, session)),
        onsessionclosed: forget
    });
    await session.server.connect(transport);
    return transport.handleRequest(req, res, body);
}

if (port === 'stdio') {
    const session = build();
    servers.set('stdio', session);
    await session.server.connect(new StdioServerTransport());
} else {
    createServer(serve).listen(Number(port), '127.0.0.1');
}
