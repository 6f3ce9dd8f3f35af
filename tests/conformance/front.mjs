// A client on the official TypeScript SDK 2 before the gateway, for scenarios whose outcome depends on both: it does what
// the suite's server offers, and answers what it is asked.
//
// usage: TOKEN=… node front.mjs URL REVISION

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, revision] = process.argv.slice(2);
const mode = revision === '2026-07-28' ? { pin: revision } : 'legacy';
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');

const client = new Client(
    { name: 'conformance-front', version: '1.0.0' },
    { capabilities: { elicitation: { form: { applyDefaults: true } } }, versionNegotiation: { mode } }
);
client.setRequestHandler('elicitation/create', ({ params }) => {
    const { properties } = params.requestedSchema;
    const filled = Object.entries(properties).filter(([, schema]) => schema.type === 'boolean' && schema.default === undefined);
    return { action: 'accept', content: Object.fromEntries(filled.map(([name]) => [name, true])) };
});

/** The least that a schema of the suite's tools takes. */
function argumentsFor({ properties = {}, required = [] }) {
    const values = { string: 'value', integer: 1, number: 1, boolean: true, array: [], object: {} };
    return Object.fromEntries(required.map(name => [name, values[properties[name].type] ?? 'value']));
}

/** What fails is the suite's to judge, and shown for whoever reads the log. */
async function attempt(what, act) {
    try {
        console.log(what, JSON.stringify(await act()));
    } catch (error) {
        console.log(what, 'failed:', error.message);
    }
}

const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${process.env.TOKEN}` } }
});
await client.connect(transport);
const has = client.getServerCapabilities() ?? {};
if (has.tools) {
    const { tools } = await client.listTools();
    const calls = context.toolCalls ?? tools.map(tool => ({ name: tool.name, arguments: argumentsFor(tool.inputSchema) }));
    for (const call of calls) await attempt(call.name, () => client.callTool(call));
}
if (has.resources) {
    await attempt('resources', async () => {
        const { resources } = await client.listResources();
        return Promise.all(resources.map(({ uri }) => client.readResource({ uri })));
    });
}
if (has.prompts) {
    await attempt('prompts', async () => {
        const { prompts } = await client.listPrompts();
        return Promise.all(prompts.map(({ name }) => client.getPrompt({ name })));
    });
}
await client.close();
process.exit();
