// What both TypeScript servers offer, and where they write down what ran.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const CITIES = ['paris', 'park', 'party', 'rome'];
export const LEVELS = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
export const PAGE = 'https://example.com/matrix';
export const form = { type: 'object', properties: { colour: { type: 'string' } }, required: ['colour'] };

export const PROMPTS = { prompts: [{ name: 'greet', description: 'Greets', arguments: [{ name: 'name', required: true }] }] };
export const RESOURCES = { resources: [{ uri: 'note://board', name: 'board', mimeType: 'text/plain' }] };

export const greeting = ({ params }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Hello, ${params.arguments?.name}!` } }]
});

export function completion({ params }) {
    const values = CITIES.filter(city => city.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
}

export const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
export const text = value => ({ content: [{ type: 'text', text: value }] });

/** Outlives sessions: how often a tool really ran, in a file of the state directory; and the notes. */
export class Notebook {
    extraTools = [];
    #notes = new Map();
    #directory;

    constructor(directory) {
        this.#directory = directory;
    }

    #path(key) {
        return join(this.#directory, key.replace(/[^a-z0-9_-]/g, ''));
    }

    write(key, what) {
        appendFileSync(this.#path(key), `${what}\n`);
    }

    starts(key) {
        const path = this.#path(key);
        return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(line => line === 'start').length : 0;
    }

    /** Changes a note and adds a tool; gives the note's URI. */
    touch(key) {
        this.#notes.set(`note://${key}`, 'changed');
        if (!this.extraTools.includes(`new_${key}`)) this.extraTools.push(`new_${key}`);
        return `note://${key}`;
    }

    read(uri) {
        return { contents: [{ uri, mimeType: 'text/plain', text: this.#notes.get(uri) ?? 'as it was' }] };
    }
}

const schemaOf = names => ({
    type: 'object',
    properties: Object.fromEntries(names.map(name => [name, { type: 'string' }])),
    required: names
});

export function tools(names, book, more = {}) {
    const tool = (name, given) => ({ name, description: `The tool ${name} of the matrix`, inputSchema: schemaOf(given), ...more[name] });
    return [tool('echo', ['message']), ...names.map(name => tool(name, ['key'])), ...book.extraTools.map(name => tool(name, []))];
}
