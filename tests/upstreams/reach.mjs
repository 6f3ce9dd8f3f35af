// A `fetch` that trusts the authority of these tests.

import { readFileSync } from 'node:fs';
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';

import { body } from '../identity/listener.mjs';

export function reach(tls) {
    return (url, { method = 'GET', headers = {} } = {}) =>
        new Promise((resolve, reject) => {
            const options = { method, headers: Object.fromEntries(new Headers(headers)), ca: readFileSync(tls.authority) };
            const request = new URL(url).protocol === 'http:' ? plain : secure;
            const asked = request(url, options, async answer => {
                const text = await body(answer);
                resolve(new Response(text, { status: answer.statusCode, headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])) }));
            });
            asked.on('error', reject);
            asked.end();
        });
}
