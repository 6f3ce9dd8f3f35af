// A server of 2026-07-28, and of no older revision, on the official TypeScript SDK 2, over Streamable HTTP or on standard
// streams. What it offers is told in README.md.
//
// usage: node server_typescript2.mjs STATE (PORT | stdio)

import { createServer } from 'node:http';

import { toNodeHandler } from '@modelcontextprotocol/node';
import { ProtocolError, Server, createMcpHandler, inputRequired } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

import { Notebook, PAGE, PROMPTS, RESOURCES, completion, form, greeting, sleep, text, tools } from './offer.mjs';

const [state, port] = process.argv.slice(2);
const book = new Notebook(state);
const jobs = new Map();
const EXTENSION = 'io.modelcontextprotocol/tasks';

const now = () => new Date().toISOString();
const ask = question => inputRequired({ inputRequests: { question } });

const TOOLS = {
    echo: (_, { message }) => message,
    count: (_, { key }) => String(book.starts(key)),
    async slow(ctx, { steps = '5' }) {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        for (let progress = 1; progress <= Number(steps); progress++) {
            ctx.mcpReq.signal.throwIfAborted();
            if (progressToken !== undefined) {
                await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: Number(steps) } });
            }
            await sleep(20);
        }
        return 'finished';
    },
    ask(ctx) {
        const said = ctx.mcpReq.inputResponses?.question;
        return said ? `${said.action} ${said.content?.colour}` : ask(inputRequired.elicit({ message: 'Which colour?', requestedSchema: form }));
    },
    open(ctx) {
        const said = ctx.mcpReq.inputResponses?.question;
        return said ? said.action : ask(inputRequired.elicitUrl({ message: 'Please look', url: PAGE }));
    },
    think(ctx) {
        const messages = [{ role: 'user', content: { type: 'text', text: 'What do you think?' } }];
        const said = ctx.mcpReq.inputResponses?.question;
        return said ? said.content.text : ask(inputRequired.createMessage({ messages, maxTokens: 10 }));
    },
    where(ctx) {
        const said = ctx.mcpReq.inputResponses?.question;
        return said ? said.roots.map(root => root.uri).join(' ') : ask(inputRequired.listRoots());
    },
    touch(_, { key }) {
        news.updated(book.touch(key));
        news.changed();
        return 'touched';
    },
    async chat(ctx, { key }) {
        for (const level of ['debug', 'info', 'warning']) await ctx.mcpReq.log(level, `${level} ${key}`, 'matrix');
        return 'chatted';
    },
    /** A task (the extension) for who declared them; its second status is its last. */
    job(ctx, { key }) {
        const declared = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities']?.extensions ?? {};
        if (!declared[EXTENSION]) {
            throw new ProtocolError(-32021, 'this tool makes a task', { requiredCapabilities: { extensions: { [EXTENSION]: {} } } });
        }
        const task = { taskId: key, status: 'working', createdAt: now(), ttlMs: 60_000, pollIntervalMs: 20 };
        jobs.set(key, task);
        return { resultType: 'task', ...task, lastUpdatedAt: now() };
    }
};

async function callTool(request, ctx) {
    const { name, arguments: given = {} } = request.params;
    const { key } = given;
    if (!(name in TOOLS)) return { ...text(`no tool ${name}`), isError: true };
    if (key) book.write(key, 'start');
    try {
        const said = await TOOLS[name](ctx, given);
        if (typeof said !== 'string') return said;
        if (key) book.write(key, 'done');
        return text(said);
    } catch (error) {
        if (key) book.write(key, ctx.mcpReq.signal.aborted ? 'cancelled' : 'failed');
        throw error;
    }
}

function getTask({ taskId }) {
    const task = jobs.get(taskId);
    if (!task) throw new ProtocolError(-32602, 'no such task');
    const told = { resultType: 'complete', ...task, lastUpdatedAt: now() };
    if (task.status === 'completed') return { ...told, result: { resultType: 'complete', ...text('job done') } };
    task.status = 'completed';
    book.write(taskId, 'done');
    return told;
}

function build() {
    const listChanged = true;
    const capabilities = {
        tools: { listChanged },
        prompts: { listChanged },
        resources: { listChanged, subscribe: true },
        completions: {},
        logging: {},
        extensions: { [EXTENSION]: {} }
    };
    const server = new Server({ name: 'matrix', version: '1.0.0' }, { capabilities });
    const names = ['count', 'slow', 'ask', 'open', 'think', 'where', 'touch', 'chat', 'job'];
    server.setRequestHandler('tools/list', () => ({ tools: tools(names, book) }));
    server.setRequestHandler('tools/call', callTool);
    server.setRequestHandler('prompts/list', () => PROMPTS);
    server.setRequestHandler('prompts/get', greeting);
    server.setRequestHandler('completion/complete', completion);
    server.setRequestHandler('resources/list', () => RESOURCES);
    server.setRequestHandler('resources/read', ({ params }) => book.read(params.uri));
    server.setRequestHandler('tasks/get', { params: z.looseObject({ taskId: z.string() }) }, getTask);
    return server;
}

/** Tells who listens. */
const news = {};

if (port === 'stdio') {
    let server;
    news.updated = uri => server.sendResourceUpdated({ uri });
    news.changed = () => server.sendToolListChanged();
    serveStdio(() => (server = build()), { legacy: 'reject' });
} else {
    const handler = createMcpHandler(build, { legacy: 'reject', onerror: error => console.error(error) });
    news.updated = uri => handler.notify.resourceUpdated(uri);
    news.changed = () => handler.notify.toolsChanged();
    createServer(toNodeHandler(handler)).listen(Number(port), '127.0.0.1');
}
