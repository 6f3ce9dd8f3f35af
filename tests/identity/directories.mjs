// The directories beside a provider: Microsoft Graph for groups that did not fit the token, Google's for groups at all.

import { createVerify, generateKeyPairSync, randomUUID } from 'node:crypto';

import { body, json } from './listener.mjs';

const PAGE = 3;

/** Answers what belongs to a directory; gives whether it did. */
export function directories(company) {
    const service = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const tokens = new Set();
    // The key file that Google's console hands out for a service account.
    company.serviceAccount = () => ({
        type: 'service_account',
        client_email: 'portcullis@project.iam.gserviceaccount.com',
        private_key_id: 'service-key',
        private_key: service.privateKey.export({ type: 'pkcs8', format: 'pem' }),
        token_uri: `${company.origin}/directory/token`
    });

    const bearer = request => request.headers.authorization?.replace(/^Bearer /i, '');
    const bySubject = sub => Object.values(company.accounts).find(account => account.sub === sub || account.oid === sub);

    /** `me` is whoever the access token was given for; anybody else needs an application's permission, which nobody has here. */
    async function person(request, name) {
        const token = bearer(request) && (await company.provider.AccessToken.find(bearer(request)));
        const account = token && bySubject(token.accountId);
        return account && !account.disabled && (name === 'me' || bySubject(name) === account) ? account : undefined;
    }

    async function graph(request, response, url) {
        const [, name, ask] = url.pathname.match(/^\/graph\/v1\.0\/(me|users\/[^/]+)\/(.+)$/) ?? [];
        const account = name && (await person(request, name.replace('users/', '')));
        if (!account) return json(response, 401, { error: { code: 'InvalidAuthenticationToken', message: 'no' } });
        if (company.fault.directory) return json(response, company.fault.directory.status, { error: { code: 'Authorization_RequestDenied', message: 'no' } });
        const from = Number(url.searchParams.get('$skiptoken') ?? 0);
        url.searchParams.set('$skiptoken', String(from + PAGE));
        const next = from + PAGE < account.groups.length ? { '@odata.nextLink': company.origin + url.pathname + url.search } : {};
        const groups = account.groups.slice(from, from + PAGE);
        if (/^getMember(Objects|Groups)$/.test(ask)) return json(response, 200, { value: account.groups });
        json(response, 200, { ...next, value: groups.map(id => ({ '@odata.type': '#microsoft.graph.group', id, displayName: `Group ${id}` })) });
    }

    /** RFC 7523 as Google has it: the service account speaks for an administrator (`sub`). */
    async function directoryToken(request, response) {
        const form = new URLSearchParams(await body(request));
        const [head, payload, signature] = (form.get('assertion') ?? '').split('.');
        const good = createVerify('sha256').update(`${head}.${payload}`).verify(service.publicKey, signature ?? '', 'base64url');
        const claims = good && JSON.parse(Buffer.from(payload, 'base64url'));
        if (!good || claims.aud !== `${company.origin}/directory/token` || !claims.sub || claims.exp * 1000 < Date.now()) {
            return json(response, 400, { error: 'invalid_grant' });
        }
        const token = `ya29.${randomUUID()}`;
        tokens.add(token);
        json(response, 200, { access_token: token, token_type: 'Bearer', expires_in: 3600 });
    }

    function directoryGroups(request, response, url) {
        if (!tokens.has(bearer(request))) return json(response, 401, { error: { code: 401 } });
        if (company.fault.directory) return json(response, company.fault.directory.status, { error: { code: company.fault.directory.status } });
        const key = url.searchParams.get('userKey');
        const account = Object.values(company.accounts).find(account => account.email === key || account.sub === key);
        if (!account || account.disabled) return json(response, 404, { error: { code: 404 } });
        const from = Number(url.searchParams.get('pageToken') ?? 0);
        const next = from + PAGE < account.groups.length ? { nextPageToken: String(from + PAGE) } : {};
        const groups = account.groups.slice(from, from + PAGE).map(name => ({ kind: 'admin#directory#group', id: `id-${name}`, email: `${name}@example.com`, name }));
        json(response, 200, { kind: 'admin#directory#groups', ...(groups.length ? { groups } : {}), ...next });
    }

    return async (request, response) => {
        const url = new URL(request.url, company.origin);
        if (url.pathname.startsWith('/graph/')) await graph(request, response, url);
        else if (url.pathname === '/directory/token') await directoryToken(request, response);
        else if (url.pathname.endsWith('/admin/directory/v1/groups')) directoryGroups(request, response, url);
        else return false;
        return true;
    };
}
