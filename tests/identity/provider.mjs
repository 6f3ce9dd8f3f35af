// Identity providers for the tests, on loopback over TLS with a private authority, and a plain control listener beside them.
//
// usage: node provider.mjs '{"directory": "/tmp/x", "clock": 1800000000, "providers": {"company": {"kind": "oidc"}}}'
//
// `directory` keeps the certificates; without `clock` the machine's time is used. Prints one line of JSON when it is
// ready and ends when its standard input does. The kinds are in kinds.mjs, and `github`.
//
// POST /clock {"set": s} | {"by": s}
// POST /ID/client {...}            a client of this provider (RFC 7591 names), `portcullis` unless it says otherwise
// POST /ID/account {"login": ...}  sub, name, email, email_verified, groups, disabled, claims, ...
// POST /ID/set {...}               auto, consent, exchange, and what a kind has: offline, rotates, iss, ...
// POST /ID/fault {...}             see faults.mjs
// POST /ID/rotate {"keep": true}   POST /ID/become {"state": "up" | "down" | "silent"}
// POST /ID/logout {"login": ...}   POST /ID/sign {"header": {}, "payload": {}}
// POST /ID/service-account         the key file of a service account of the directory (google)
// GET  /ID/seen                    how often each path was asked, and every request since the last POST /ID/forget

import { createServer } from 'node:http';

import * as clock from './clock.mjs';
import { certificate } from './authority.mjs';
import { company } from './company.mjs';
import { github } from './github.mjs';
import { body, json } from './listener.mjs';

const options = JSON.parse(process.argv[2]);
if (options.clock) clock.set(options.clock);
const tls = certificate(options.directory);

const houses = {};
for (const [id, settings] of Object.entries(options.providers)) {
    // The keys of the others, for tokens that one signs in another's name.
    const others = () => Object.values(houses).filter(house => house.id !== id && house.keys).flatMap(house => house.keys);
    houses[id] = settings.kind === 'github' ? await github(id, settings, tls) : await company(id, settings, tls, others);
}

async function act(path, asked) {
    const [, id, verb] = path.split('/');
    if (id === 'clock') return asked.set === undefined ? clock.move(asked.by) : clock.set(asked.set);
    const house = houses[id];
    switch (house && verb) {
        case 'seen': return { paths: house.listener.seen, requests: house.listener.requests };
        case 'forget': return Object.assign(house.listener, { seen: {}, requests: [] }) && {};
        case 'become': return house.listener.become(asked.state);
        case 'account': return house.account(asked.login, asked);
        case 'client': return house.client(asked);
        case 'fault': return void (house.fault = asked);
        case 'rotate': return house.rotate(asked);
        case 'logout': return house.logout(asked);
        case 'service-account': return house.serviceAccount();
        case 'sign': return { token: house.sign(asked) };
        case 'set': {
            const { auto = house.auto, consent = house.consent, exchange = house.exchange, ...kind } = asked;
            Object.assign(house, { auto, consent, exchange });
            Object.assign(house.kind, kind);
            return {};
        }
        default: throw new Error(`there is nothing at ${path}`);
    }
}

const control = createServer(async (request, response) => {
    try {
        const text = await body(request);
        json(response, 200, (await act(request.url, text ? JSON.parse(text) : {})) ?? {});
    } catch (error) {
        json(response, 400, { error: String(error.stack) });
    }
});
control.listen(0, '127.0.0.1', () => {
    const providers = Object.fromEntries(Object.values(houses).map(house => [house.id, { issuer: house.issuer, host: house.listener.host }]));
    console.log(JSON.stringify({ control: `127.0.0.1:${control.address().port}`, authority: tls.authority, providers }));
});
process.stdin.resume().on('end', () => process.exit());
