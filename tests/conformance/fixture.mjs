// The server that the conformance suite is pointed at, first directly, then through the gateway: every tool, prompt and
// resource that the suite's server scenarios name, on the official TypeScript SDK 2. One endpoint speaks both eras:
// requests of 2026-07-28 are answered statelessly, older ones get a session with a replayable event store. With one era
// named, it speaks only that one and offers in its words what the suite looks for in the other.
//
// usage: node fixture.mjs PORT [modern | legacy]

import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import {
    NodeStreamableHTTPServerTransport,
    localhostHostValidation,
    localhostOriginValidation,
    toNodeHandler,
    toWebRequest
} from '@modelcontextprotocol/node';
import {
    McpServer,
    ResourceTemplate,
    acceptedContent,
    createMcpHandler,
    createRequestStateCodec,
    fromJsonSchema,
    inputRequired,
    isLegacyRequest
} from '@modelcontextprotocol/server';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const SILENCE = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=';

const states = createRequestStateCodec({ key: randomBytes(32) });
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
const text = value => ({ content: [{ type: 'text', text: value }] });
const object = (properties = {}, required = []) => ({ type: 'object', properties, required });
const schema = (properties, required) => fromJsonSchema(object(properties, required));
const string = (extra = {}) => ({ type: 'string', ...extra });

/** The plain answers: name → content. */
const CONTENT = {
    test_simple_text: [{ type: 'text', text: 'This is a simple text response for testing.' }],
    test_image_content: [{ type: 'image', data: PIXEL, mimeType: 'image/png' }],
    test_audio_content: [{ type: 'audio', data: SILENCE, mimeType: 'audio/wav' }],
    test_embedded_resource: [
        {
            type: 'resource',
            resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' }
        }
    ],
    test_multiple_content_types: [
        { type: 'text', text: 'Multiple content types test:' },
        { type: 'image', data: PIXEL, mimeType: 'image/png' },
        {
            type: 'resource',
            resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' }
        }
    ]
};

/** Everything that answers alike in both eras. */
function addPlainTools(server) {
    for (const [name, content] of Object.entries(CONTENT)) {
        server.registerTool(name, { description: `Answers with fixed content (${name})` }, () => ({ content }));
    }
    server.registerTool('test_error_handling', { description: 'Always fails' }, () => {
        throw new Error('This tool intentionally returns an error for testing');
    });
    server.registerTool('test_tool_with_progress', { description: 'Reports 0, 50 and 100 of 100' }, async ctx => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        for (const progress of [0, 50, 100]) {
            if (progressToken !== undefined) {
                await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
            }
            if (progress < 100) await sleep(50);
        }
        return text('Progress was reported.');
    });
    server.registerTool(
        'json_schema_2020_12_tool',
        {
            description: 'Tool with JSON Schema 2020-12 features',
            inputSchema: fromJsonSchema({
                $schema: 'https://json-schema.org/draft/2020-12/schema',
                type: 'object',
                $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string(), city: string() } } },
                properties: {
                    name: string(),
                    address: { $ref: '#/$defs/address' },
                    contactMethod: string({ enum: ['phone', 'email'] }),
                    phone: string(),
                    email: string()
                },
                allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
                if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
                then: { required: ['phone'] },
                else: { required: ['email'] },
                additionalProperties: false
            })
        },
        args => text(JSON.stringify(args))
    );
    server.registerTool(
        'test_mirrored_parameter',
        {
            description: 'One argument travels in a header too',
            inputSchema: schema({ region: string({ 'x-mcp-header': 'Region' }) })
        },
        ({ region }) => text(`region: ${region ?? 'none'}`)
    );
}

// On the stream of the call: the context's own shorthands use the session's stream, which may not be open yet.
const askInSession = (ctx, method, params) => ctx.mcpReq.send({ method, params });

/** What ends a stateless request until its answer is there. */
class Unanswered extends Error {
    constructor(request) {
        super('not answered yet');
        this.request = request;
    }
}

/** A question of the handshake era in a stateless request: its handler runs again from the start once it is answered. */
function askStatelessly(ctx, method, params) {
    const answer = ctx.mcpReq.inputResponses?.asked;
    if (!answer) throw new Unanswered({ method, params });
    return answer;
}

const statelessly =
    handler =>
    async (...given) => {
        try {
            return await handler(...given);
        } catch (error) {
            if (error instanceof Unanswered) return inputRequired({ inputRequests: { asked: error.request } });
            throw error;
        }
    };

/** A multi-round handler of 2026-07-28 in a session: the rounds are made here, with questions in the middle of the call. */
const inSession = server => handler => async (...given) => {
    const ctx = given.at(-1);
    const envelope = { 'io.modelcontextprotocol/clientCapabilities': server.server.getClientCapabilities() };
    let [inputResponses, state] = [undefined, undefined];
    for (;;) {
        const mcpReq = Object.assign(Object.create(ctx.mcpReq), { envelope, inputResponses, requestState: () => state });
        const result = await handler(...given.slice(0, -1), Object.assign(Object.create(ctx), { mcpReq }));
        if (!result.inputRequests) return result;
        const asked = Object.entries(result.inputRequests);
        const answers = await Promise.all(asked.map(([, { method, params }]) => askInSession(ctx, method, params)));
        inputResponses = Object.fromEntries(asked.map(([key], index) => [key, answers[index]]));
        state = result.requestState && (await states.verify(result.requestState));
    }
};

/** Tools of the handshake era: the server asks the client in the middle of a call. */
function addLegacyTools(server, ask, adapted = handler => handler) {
    const register = server.registerTool.bind(server);
    server = { registerTool: (name, about, handler) => register(name, about, adapted(handler)), server: server.server };
    server.registerTool('test_tool_with_logging', { description: 'Logs three lines' }, async ctx => {
        for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
            await ctx.mcpReq.log('info', line);
            await sleep(50);
        }
        return text('Logging done.');
    });
    server.registerTool(
        'test_sampling',
        { description: 'Asks the client for a completion', inputSchema: schema({ prompt: string() }, ['prompt']) },
        async ({ prompt }, ctx) => {
            const answer = await ask(ctx, 'sampling/createMessage', {
                messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
                maxTokens: 100
            });
            return text(`LLM response: ${answer.content.text}`);
        }
    );
    server.registerTool(
        'test_elicitation',
        { description: 'Asks the person', inputSchema: schema({ message: string() }, ['message']) },
        async ({ message }, ctx) => {
            const requestedSchema = object(
                { username: string({ description: "User's response" }), email: string({ description: "User's email address" }) },
                ['username', 'email']
            );
            const answer = await ask(ctx, 'elicitation/create', { message, requestedSchema });
            return text(`User response: <action: ${answer.action}, content: ${JSON.stringify(answer.content)}>`);
        }
    );
    const elicitForm = (name, properties) =>
        server.registerTool(name, { description: 'Asks the person with a typed form' }, async ctx => {
            const answer = await ask(ctx, 'elicitation/create', { message: 'Please fill in', requestedSchema: object(properties) });
            return text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`);
        });
    elicitForm('test_elicitation_sep1034_defaults', {
        name: string({ default: 'John Doe' }),
        age: { type: 'integer', default: 30 },
        score: { type: 'number', default: 95.5 },
        status: string({ enum: ['active', 'inactive', 'pending'], default: 'active' }),
        verified: { type: 'boolean', default: true }
    });
    const titled = ['First', 'Second', 'Third'].map((title, index) => ({ const: `value${index + 1}`, title }));
    elicitForm('test_elicitation_sep1330_enums', {
        untitledSingle: string({ enum: ['option1', 'option2', 'option3'] }),
        titledSingle: string({ oneOf: titled }),
        legacyEnum: string({ enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] }),
        untitledMulti: { type: 'array', items: string({ enum: ['option1', 'option2', 'option3'] }) },
        titledMulti: { type: 'array', items: { anyOf: titled } }
    });
    server.registerTool('test_reconnection', { description: 'Closes the stream and answers on the next one' }, async ctx => {
        ctx.http?.closeSSE?.();
        await sleep(100);
        return text('Answered after the stream was closed.');
    });
}

/** Sessions are subscribed; what stands alone listens, which the SDK sees to. */
function addSubscriptions(server) {
    server.server.setRequestHandler('resources/subscribe', () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', () => ({}));
}

const askName = inputRequired.elicit({ message: 'What is your name?', requestedSchema: object({ name: string() }, ['name']) });
const askConfirmation = inputRequired.elicit({
    message: 'Please confirm',
    requestedSchema: object({ ok: { type: 'boolean' } }, ['ok'])
});
const askSample = (question, maxTokens) =>
    inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: question } }], maxTokens });

/** Tools of 2026-07-28: questions travel in the result, and what changed travels on a subscription. */
function addModernTools(server, notify, adapted = handler => handler) {
    const tool = (name, handler) => server.registerTool(name, { description: `Multi-round tool (${name})` }, adapted(handler));
    const answers = ctx => ctx.mcpReq.inputResponses ?? {};

    tool('test_input_required_result_elicitation', ctx => {
        const name = acceptedContent(answers(ctx), 'user_name')?.name;
        return typeof name === 'string' ? text(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: askName } });
    });
    tool('test_input_required_result_sampling', ctx => {
        const answer = answers(ctx).capital_question?.content?.text;
        return answer
            ? text(answer)
            : inputRequired({ inputRequests: { capital_question: askSample('What is the capital of France?', 100) } });
    });
    tool('test_input_required_result_list_roots', ctx => {
        const roots = answers(ctx).client_roots?.roots;
        return roots
            ? text(`Roots: ${roots.map(root => root.uri).join(', ')}`)
            : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    });
    for (const name of ['test_input_required_result_request_state', 'test_input_required_result_tampered_state']) {
        tool(name, async ctx =>
            ctx.mcpReq.requestState()?.round === name && answers(ctx).confirm
                ? text('state-ok')
                : inputRequired({ inputRequests: { confirm: askConfirmation }, requestState: await states.mint({ round: name }) })
        );
    }
    tool('test_input_required_result_multiple_inputs', async ctx => {
        const { user_name, greeting, client_roots } = answers(ctx);
        if (ctx.mcpReq.requestState() && user_name && greeting && client_roots) return text('All three answers arrived.');
        return inputRequired({
            inputRequests: {
                user_name: askName,
                greeting: askSample('Generate a greeting', 50),
                client_roots: inputRequired.listRoots()
            },
            requestState: await states.mint({ round: 'all' })
        });
    });
    tool('test_input_required_result_multi_round', async ctx => {
        const state = ctx.mcpReq.requestState();
        if (state?.name && answers(ctx).step2) return text(`${state.name} likes ${acceptedContent(answers(ctx), 'step2')?.color}`);
        const name = acceptedContent(answers(ctx), 'step1')?.name;
        if (state && name) {
            const question = { message: 'Step 2: What is your favorite color?', requestedSchema: object({ color: string() }, ['color']) };
            return inputRequired({ inputRequests: { step2: inputRequired.elicit(question) }, requestState: await states.mint({ name }) });
        }
        const question = { message: 'Step 1: What is your name?', requestedSchema: object({ name: string() }, ['name']) };
        return inputRequired({ inputRequests: { step1: inputRequired.elicit(question) }, requestState: await states.mint({}) });
    });
    tool('test_input_required_result_capabilities', ctx => {
        const declared = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
        const inputRequests = {};
        if (declared.elicitation) inputRequests.user_name = askName;
        if (declared.sampling) inputRequests.question = askSample('Say something', 50);
        if (declared.roots) inputRequests.client_roots = inputRequired.listRoots();
        return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : text('Nothing can be asked.');
    });
    // The SDK refuses for us (-32021) to ask what the client did not declare.
    tool('test_missing_capability', () => inputRequired({ inputRequests: { question: askSample('Say something', 50) } }));
    tool('test_streaming_elicitation', async ctx => {
        const progressToken = ctx.mcpReq._meta?.progressToken ?? ctx.mcpReq.id;
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1, total: 2 } });
        return inputRequired({ inputRequests: { user_name: askName } });
    });
    tool('test_logging_tool', async ctx => {
        await ctx.mcpReq.log('info', 'only for those who asked for logs');
        return text('Logged.');
    });
    tool('test_trigger_tool_change', () => {
        notify().toolsChanged();
        return text('The tool list changed.');
    });
    tool('test_trigger_prompt_change', () => {
        notify().promptsChanged();
        return text('The prompt list changed.');
    });
    server.registerPrompt('test_input_required_result_prompt', { description: 'Asks before it answers' }, adapted(ctx => {
        const context = acceptedContent(answers(ctx), 'user_context')?.context;
        if (context) return userMessages({ type: 'text', text: `Use this context: ${context}` });
        const question = {
            message: 'What context should the prompt use?',
            requestedSchema: object({ context: string() }, ['context'])
        };
        return inputRequired({ inputRequests: { user_context: inputRequired.elicit(question) } });
    }));
}

const userMessages = (...contents) => ({ messages: contents.map(content => ({ role: 'user', content })) });

function addPrompts(server) {
    server.registerPrompt('test_simple_prompt', { description: 'No arguments' }, () =>
        userMessages({ type: 'text', text: 'This is a simple prompt for testing.' })
    );
    server.registerPrompt(
        'test_prompt_with_arguments',
        {
            description: 'Two arguments',
            argsSchema: schema(
                { arg1: string({ description: 'First test argument' }), arg2: string({ description: 'Second test argument' }) },
                ['arg1', 'arg2']
            )
        },
        ({ arg1, arg2 }) => userMessages({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })
    );
    server.registerPrompt(
        'test_prompt_with_embedded_resource',
        { description: 'Embeds a resource', argsSchema: schema({ resourceUri: string() }, ['resourceUri']) },
        ({ resourceUri }) =>
            userMessages(
                {
                    type: 'resource',
                    resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' }
                },
                { type: 'text', text: 'Please process the embedded resource above.' }
            )
    );
    server.registerPrompt('test_prompt_with_image', { description: 'Contains an image' }, () =>
        userMessages(
            { type: 'image', data: PIXEL, mimeType: 'image/png' },
            { type: 'text', text: 'Please analyze the image above.' }
        )
    );
    server.server.setRequestHandler('completion/complete', request => {
        const values = ['paris', 'park', 'party'].filter(value => value.startsWith(request.params.argument.value));
        return { completion: { values, total: values.length, hasMore: false } };
    });
}

function addResources(server) {
    const fixed = (name, uri, content, mimeType) =>
        server.registerResource(name, uri, { description: `Fixed content (${name})`, mimeType }, () => ({
            contents: [{ uri, mimeType, ...content }]
        }));
    fixed('static-text', 'test://static-text', { text: 'This is the content of the static text resource.' }, 'text/plain');
    fixed('static-binary', 'test://static-binary', { blob: PIXEL }, 'image/png');
    fixed('watched-resource', 'test://watched-resource', { text: 'Watched.' }, 'text/plain');
    server.registerResource(
        'template',
        new ResourceTemplate('test://template/{id}/data', { list: undefined }),
        { description: 'One parameter', mimeType: 'application/json' },
        (uri, { id }) => ({
            contents: [
                { uri: uri.href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }
            ]
        })
    );
}

function build(era) {
    const listChanged = true;
    const server = new McpServer(
        { name: 'conformance-fixture', version: '1.0.0' },
        {
            capabilities: {
                tools: { listChanged },
                prompts: { listChanged },
                resources: { listChanged, subscribe: true },
                completions: {},
                logging: {}
            },
            requestState: { verify: states.verify }
        }
    );
    addPlainTools(server);
    addPrompts(server);
    addResources(server);
    if (era === 'modern') {
        addModernTools(server, () => modern.notify);
        if (only === 'modern') addLegacyTools(server, askStatelessly, statelessly);
    } else {
        addSubscriptions(server);
        addLegacyTools(server, askInSession);
        const changes = { toolsChanged: () => server.sendToolListChanged(), promptsChanged: () => server.sendPromptListChanged() };
        if (only === 'legacy') addModernTools(server, () => changes, inSession(server));
    }
    return server;
}

/** Keeps the events of the handshake era's streams, so that a client that lost one gets the rest. */
class Events {
    #events = [];

    async storeEvent(streamId, message) {
        this.#events.push({ streamId, message });
        return String(this.#events.length);
    }

    async replayEventsAfter(lastEventId, { send }) {
        const start = Number(lastEventId);
        const streamId = this.#events[start - 1]?.streamId;
        for (const [index, event] of this.#events.entries()) {
            const carriesMessage = Object.keys(event.message ?? {}).length > 0;
            if (index >= start && event.streamId === streamId && carriesMessage) await send(String(index + 1), event.message);
        }
        return streamId;
    }
}

const only = process.argv[3];
const modern = createMcpHandler(({ era }) => build(era), { legacy: 'reject' });
const modernListener = toNodeHandler(modern);
const sessions = new Map();

async function serveLegacy(req, res, body) {
    const known = sessions.get(req.headers['mcp-session-id']);
    if (known) return known.handleRequest(req, res, body);
    if (req.headers['mcp-session-id']) return refuse(res, 404, 'Session not found');
    if (body?.method !== 'initialize') return refuse(res, 400, 'A session is needed');
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        eventStore: new Events(),
        retryInterval: 100,
        onsessioninitialized: id => sessions.set(id, transport),
        onsessionclosed: id => sessions.delete(id)
    });
    await build('legacy').connect(transport);
    return transport.handleRequest(req, res, body);
}

function refuse(res, status, message) {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message } }));
}

async function readJson(req) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    try {
        return chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
    } catch {
        return undefined;
    }
}

const hostIsLocal = localhostHostValidation();
const originIsLocal = localhostOriginValidation();

createServer(async (req, res) => {
    if (!hostIsLocal(req, res) || !originIsLocal(req, res)) return;
    try {
        const body = await readJson(req);
        const legacy = await isLegacyRequest(await toWebRequest(req, body), body);
        if (only && legacy !== (only === 'legacy')) return refuse(res, 400, 'Another era is spoken here');
        await (legacy ? serveLegacy(req, res, body) : modernListener(req, res, body));
    } catch (error) {
        console.error(error);
        if (!res.headersSent) refuse(res, 500, 'Internal error');
    }
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
