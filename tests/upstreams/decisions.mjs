// A decision point as OpenID AuthZEN has it, with the policies of Cedar behind it: the engine is the official one, unchanged,
// and this is only the door in front of it.
//
// usage: node decisions.mjs '{"policies": "permit(principal, action, resource);", "token": "secret"}'
//
// Prints one line of JSON, {"url": ...}, when it is ready and ends when its standard input does. The question's types become
// Cedar's: `user::"ID"`, `Action::"tools/call"`, `tool::"SERVER/NAME"`, each with its properties; arguments stand in `context`.
// GET /seen gives the questions so far.

import { createServer } from 'node:http';

import { isAuthorized } from '@cedar-policy/cedar-wasm/nodejs';

import { body, json } from '../identity/listener.mjs';

const { policies, token } = JSON.parse(process.argv[2]);
const seen = [];

const server = createServer(async (request, response) => {
    if (request.method === 'GET' && request.url === '/seen') return json(response, 200, seen);
    if (request.method !== 'POST' || request.url !== '/access/v1/evaluation') return json(response, 404, 'no such endpoint');
    if (request.headers.authorization !== `Bearer ${token}`) return json(response, 401, 'who are you?', { 'www-authenticate': 'Bearer' });
    const question = JSON.parse(await body(request));
    seen.push(question);
    const { subject, action, resource, context } = question;
    if (![subject?.type, subject?.id, action?.name, resource?.type, resource?.id].every(text => typeof text === 'string'))
        return json(response, 400, 'subject, action and resource are required');
    const answer = isAuthorized({
        principal: { type: subject.type, id: subject.id },
        action: { type: 'Action', id: action.name },
        resource: { type: resource.type, id: resource.id },
        context: { ...context, ...action.properties },
        policies: { staticPolicies: policies },
        entities: [subject, resource].map(({ type, id, properties }) => ({ uid: { type, id }, attrs: properties ?? {}, parents: [] })),
    });
    if (answer.type === 'failure') return json(response, 500, answer.errors);
    const { decision, diagnostics } = answer.response;
    const determined = `by ${diagnostics.reason.join(', ') || 'no policy'}`;
    const told = decision === 'allow' ? {} : { context: { reason_admin: { 403: determined }, reason_user: { 403: 'Ask the security team.' } } };
    json(response, 200, { decision: decision === 'allow', ...told });
});

server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
process.stdin.on('end', () => process.exit()).resume();
