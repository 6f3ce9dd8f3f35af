// What the gateway calls, and where it gets its tokens: MCP servers and authorization servers on loopback, each behind the
// small proxy of front.mjs, and a plain control listener beside them.
//
// usage: node upstreams.mjs '{"directory": "/tmp/x", "clock": 1800000000, "python": "/path/of/python",
//                             "authorities": {"acme": {}}, "servers": {"notes": {"authority": "acme"}}}'
//
// `directory` keeps the certificates (and may be another program's of tests/identity). An authority is described in
// authorization.mjs. A server is of kind oauth, exchange, key or own (notes.mjs), demo, everything or fastmcp.
// Prints one line of JSON when it is ready and ends when its standard input does.
//
// POST /clock {"set": s} | {"by": s}
// POST /ID/fault [...]                 see front.mjs; [] ends them, and /ID/release goes on with what is held
// POST /ID/become {"state": "up" | "down" | "silent"}
// POST /ID/set {...}                   auto, consent, exchange and what the kind has
// GET  /ID/seen                        how often each path was asked, every request, how many are held, what was kept
// POST /ID/forget
// POST /ID/account {"login": ...}      POST /ID/client {...}      POST /ID/rotate {}       (authorities)
// POST /ID/tokens {"login": ...}       live tokens of somebody     POST /ID/end {"login": ...}   POST /ID/expire {"login": ...}

import { createServer } from 'node:http';

import { certificate } from '../identity/authority.mjs';
import * as clock from '../identity/clock.mjs';
import { body, json } from '../identity/listener.mjs';
import { authorization } from './authorization.mjs';
import { demo } from './demo.mjs';
import { notes } from './notes.mjs';
import { everything, fastmcp } from './programs.mjs';

const KINDS = { oauth: notes, exchange: notes, key: notes, own: notes, demo, everything, fastmcp };

const options = JSON.parse(process.argv[2]);
if (options.clock) clock.set(options.clock);
const tls = certificate(options.directory);

const authorities = {};
for (const [id, settings] of Object.entries(options.authorities ?? {})) {
    authorities[id] = await authorization(id, settings, tls);
    for (const login of ['alice', 'bob']) authorities[id].account(login, { email: `${login}@example.com` });
}
const servers = {};
for (const [id, settings] of Object.entries(options.servers ?? {})) {
    servers[id] = await KINDS[settings.kind ?? 'oauth'](id, { python: options.python, ...settings }, tls, authorities);
}

async function act(path, asked) {
    const [, id, verb] = path.split('/');
    if (id === 'clock') return asked.set === undefined ? clock.move(asked.by) : clock.set(asked.set);
    const house = authorities[id] ?? servers[id];
    const listener = house?.listener;
    switch (house && verb) {
        case 'fault': return void (listener.faults = asked);
        case 'release': return listener.release();
        case 'become': return listener.become(asked.state);
        case 'seen': return { paths: listener.seen, requests: listener.requests, held: listener.held.length, kept: house.kept };
        case 'forget': return Object.assign(listener, { seen: {}, requests: [] }) && {};
        case 'account': return house.account(asked.login, asked);
        case 'client': return house.client(asked);
        case 'rotate': return house.rotate(asked);
        case 'tokens': return house.tokens(asked.login);
        case 'expire': return house.expire(asked.login);
        case 'end': return house.end(asked.login);
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
    const known = Object.fromEntries(Object.values(authorities).map(house => [house.id, { issuer: house.issuer, host: house.listener.host }]));
    const called = Object.fromEntries(Object.values(servers).map(server => [server.id, { url: server.url, host: server.listener.host, ...(server.issuer ? { issuer: server.issuer } : {}) }]));
    console.log(JSON.stringify({ control: `127.0.0.1:${control.address().port}`, authority: tls.authority, authorities: known, servers: called }));
});
process.stdin.resume().on('end', () => process.exit());
