// What every TypeScript client does, feature by feature: the same steps, options and output as features.py.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

export const PATIENCE = 60_000;
// So many that they cannot all come together with the answer, with which some clients lose them.
const MANY = '50';
// Waiting for something that is written down by another process looks again this often.
const LOOK = 20;
// Nothing tells a client when its stream of news is open: without news for so long, it gives another cause for them.
const NEWS = 3_000;

const TOOLS = ['echo', 'count', 'slow', 'think', 'where', 'touch', 'chat'];
const ROOT = 'file:///matrix/root';
const PAGE = 'https://example.com/matrix';
const THOUGHT = 'forty-two';
const COLOUR = 'green';

export function parseOptions() {
    const text = { type: 'string' };
    const { values } = parseArgs({ options: { target: text, state: text, key: text, features: text, mode: text, declare: text } });
    const { target, features, declare, mode = 'legacy' } = values;
    return { ...values, mode, target: JSON.parse(target), features: features.split(','), declare: declare.split(',') };
}

function expect(condition, what) {
    if (!condition) throw new Error(what);
}

const same = (left, right) => JSON.stringify(left) === JSON.stringify(right);

/** Something that is waited for, again and again. */
class Bell {
    #rung = false;
    #waiting;

    ring() {
        if (this.#waiting) this.#waiting();
        else this.#rung = true;
        this.#waiting = undefined;
    }

    heard = () =>
        new Promise(resolve => {
            if (!this.#rung) return (this.#waiting = resolve);
            this.#rung = false;
            resolve();
        });
}

const CAPABILITIES = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };

/** A program on one of the SDKs: what it declares and answers, and what it hears. */
export class Host {
    asked = [];
    onLog = () => {};
    #changed = new Bell();
    #updated = new Map();

    constructor({ declare }) {
        this.capabilities = Object.fromEntries(declare.filter(name => name in CAPABILITIES).map(name => [name, CAPABILITIES[name]]));
    }

    elicit = ({ params }) => {
        this.asked.push(params.mode === 'url' ? ['url', params.url] : ['form', params.message]);
        return params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { colour: COLOUR } };
    };
    think = () => ({ role: 'assistant', content: { type: 'text', text: THOUGHT }, model: 'none' });
    roots = () => ({ roots: [{ uri: ROOT }] });
    log = ({ params }) => this.onLog(params.data);
    toolsChanged = () => this.#changed.ring();
    resourceUpdated = ({ params }) => this.bellOf(params.uri).ring();

    bellOf(uri) {
        if (!uri) return this.#changed;
        return this.#updated.get(uri) ?? this.#updated.set(uri, new Bell()).get(uri);
    }
}

export function textOf({ content, isError }) {
    const text = content.map(block => block.text).join(' ');
    if (isError) throw new Error(text);
    return text;
}

/** Reads what the servers wrote down. */
class Written {
    constructor(directory, key) {
        this.path = join(directory, key);
    }

    lines() {
        return existsSync(this.path) ? readFileSync(this.path, 'utf8').split('\n').filter(Boolean) : [];
    }

    async until(...words) {
        while (!this.lines().some(line => words.includes(line))) await sleep(LOOK);
    }
}

async function refused(client, key, written, tool) {
    let text;
    try {
        text = await client.call(tool, { key });
    } catch (error) {
        expect(!written.lines().includes('done'), 'the tool ran to its end all the same');
        return told(error);
    }
    throw new Error(`not refused but answered: ${text}`);
}

async function touch(client, key, heard) {
    const coming = heard().then(() => true);
    do await client.call('touch', { key });
    while (!(await Promise.race([coming, sleep(NEWS, false)])));
}

const STEPS = {
    async list(client) {
        const tools = await client.tools();
        expect(TOOLS.every(name => tools.includes(name)), `tools: ${tools}`);
        const uris = await client.resources();
        expect(uris.includes('note://board'), `resources: ${uris}`);
        const text = await client.read('note://board');
        expect(text === 'as it was', `note://board: ${text}`);
    },
    async call(client, key, written) {
        const text = await client.call('echo', { message: 'good morning ☼' });
        expect(text === 'good morning ☼', `echo: ${text}`);
        for (const times of ['1', '2']) {
            const counted = await client.call('count', { key });
            expect(counted === times, `count: ${counted} instead of ${times}`);
        }
        expect(written.lines().filter(line => line === 'done').length === 2, `ran: ${written.lines()}`);
    },
    async progress(client, key) {
        const values = [];
        const text = await client.call('slow', { key, steps: MANY }, value => values.push(value));
        expect(text === 'finished', `slow: ${text}`);
        expect(values.length >= 2 && values.every((value, index) => index === 0 || value > values[index - 1]), `progress: ${values}`);
    },
    async cancel(client, key, written) {
        await client.cancelWhen('slow', { key, steps: '1000' }, written.until('start'));
        await written.until('cancelled', 'done');
        expect(same(written.lines(), ['start', 'cancelled']), `the server wrote ${written.lines()}`);
    },
    /** The client takes its call back, and nobody is told. */
    async uncancelled(client, key, written) {
        await client.cancelWhen('slow', { key, steps: MANY }, written.until('start'));
        await written.until('cancelled', 'done');
        expect(same(written.lines(), ['start', 'done']), `the server wrote ${written.lines()}`);
    },
    async elicit_form(client, key) {
        const text = await client.call('ask', { key });
        expect(text === `accept ${COLOUR}`, `ask: ${text}`);
        expect(client.asked.filter(([mode]) => mode === 'form').length === 1, `asked: ${JSON.stringify(client.asked)}`);
    },
    async elicit_url(client, key) {
        const text = await client.call('open', { key });
        expect(text === 'accept', `open: ${text}`);
        expect(same(client.asked.at(-1), ['url', PAGE]), `asked: ${JSON.stringify(client.asked)}`);
    },
    async sampling(client, key) {
        const text = await client.call('think', { key });
        expect(text === THOUGHT, `think: ${text}`);
    },
    async roots(client, key) {
        const text = await client.call('where', { key });
        expect(text === ROOT, `where: ${text}`);
    },
    async subscribe(client, key) {
        const uri = `note://${key}`;
        expect((await client.read(uri)) === 'as it was', 'the note was touched before');
        const { heard, stop } = await client.watch(uri);
        await touch(client, key, heard);
        expect((await client.read(uri)) === 'changed', 'the note is not changed');
        await stop();
    },
    async list_changed(client, key) {
        const { heard, stop } = await client.watch();
        await touch(client, key, heard);
        // Somebody else may have changed the list too, and each change is told once.
        while (!(await client.tools()).includes(`new_${key}`)) await heard();
        await stop();
    },
    async prompts(client) {
        const names = await client.prompts();
        expect(same(names, ['greet']), `prompts: ${names}`);
        const text = await client.prompt('greet', { name: 'Ada' });
        expect(text === 'Hello, Ada!', `greet: ${text}`);
    },
    async completion(client) {
        const values = await client.complete('greet', 'name', 'par');
        expect(same(values, ['paris', 'park', 'party']), `completion: ${values}`);
    },
    async logging(client, key) {
        const heard = [];
        await client.listenToLogs('info', data => heard.push(data));
        await client.call('chat', { key });
        const wanted = [`info ${key}`, `warning ${key}`];
        while (heard.length < wanted.length) await sleep(LOOK);
        expect(same(heard, wanted), `logs: ${heard}`);
    },
    async tasks(client, key) {
        const text = await client.job('job', { key });
        expect(text === 'job done', `job: ${text}`);
    },
    // What cannot be must be refused, clearly, and must not run to its end.
    no_elicit_form: (client, key, written) => refused(client, key, written, 'ask'),
    no_elicit_url: (client, key, written) => refused(client, key, written, 'open'),
    no_tasks: (client, key, written) => refused(client, key, written, 'job'),
    /** A client without tasks gets the plain result of a tool that makes one. */
    async plain_job(client, key) {
        const text = await client.call('job', { key });
        expect(text === 'job done', `job: ${text}`);
    }
};

function told(error) {
    console.error(error);
    return `${error.code ?? ''} ${error.message ?? error}`.trim().slice(0, 600);
}

export async function run(client, { state, key, features }) {
    for (const feature of features) {
        const name = `${key}-${feature}`.replaceAll('_', '-');
        const written = new Written(state, name);
        let ok = true;
        let why;
        const late = new AbortController();
        try {
            const tooLate = sleep(PATIENCE, undefined, { signal: late.signal }).then(() => {
                throw new Error(`nothing for ${PATIENCE / 1000} s`);
            });
            tooLate.catch(() => {});
            why = await Promise.race([STEPS[feature](client, name, written), tooLate]);
        } catch (error) {
            [ok, why] = [false, told(error)];
        }
        late.abort();
        const count = word => written.lines().filter(line => line === word).length;
        console.log(JSON.stringify({ feature, ok, why: why ?? '', starts: count('start'), ends: count('done') }));
    }
}
