// GitHub as far as signing in with it goes: OAuth without OpenID, and the API that says who somebody is.

import { createHash, randomUUID } from 'node:crypto';

import { body, escaped, html, json, listen } from './listener.mjs';

export async function github(id, options, tls) {
    const house = new GitHub(id, options);
    house.listener = await listen(tls, (request, response) => house.answer(request, response));
    house.origin = house.issuer = `https://${house.listener.host}`;
    return house;
}

class GitHub {
    constructor(id, options) {
        Object.assign(this, { id, kind: { page: 100, ...options }, accounts: {}, clients: {}, fault: {}, auto: null, consent: 'given' });
        Object.assign(this, { codes: new Map(), tokens: new Map(), browsers: new Map(), ids: 1000 });
    }

    /** `groups` are `org` and `org/team`; `emails` a list of { email, primary, verified }. */
    account(login, members) {
        const known = this.accounts[login] ?? { login, id: this.ids++, name: login, groups: [], password: 'password' };
        this.accounts[login] = { ...known, ...members };
    }

    client({ client_id = 'portcullis', ...members }) {
        this.clients[client_id] = { client_secret: `${client_id}-secret`, ...this.clients[client_id], ...members };
    }

    async answer(request, response) {
        const url = new URL(request.url, this.origin);
        if (url.pathname === '/login/oauth/authorize') return this.authorize(request, response, url);
        if (url.pathname === '/login/oauth/access_token') return this.token(request, response);
        const path = url.pathname.replace(/^\/api\/v3/, '');
        if (path === '/meta') return json(response, 200, { verifiable_password_authentication: false });
        if (path.startsWith('/user') || path.startsWith('/applications/')) return this.api(request, response, path, url);
        json(response, 404, { message: 'Not Found' });
    }

    async authorize(request, response, url) {
        const asked = url.searchParams;
        const client = this.clients[asked.get('client_id')];
        const back = URL.parse(asked.get('redirect_uri') ?? '');
        if (!client?.redirect_uris.includes(asked.get('redirect_uri'))) return html(response, 404, 'The redirect_uri is not associated with this application.');
        const form = new URLSearchParams(request.method === 'POST' ? await body(request) : '');
        const session = (request.headers.cookie ?? '').match(/user_session=([\w-]+)/)?.[1];
        const typed = this.accounts[form.get('login')]?.password === form.get('password') ? form.get('login') : undefined;
        const login = this.auto ?? this.browsers.get(session) ?? typed;
        const account = this.accounts[login];
        back.searchParams.set('state', asked.get('state') ?? '');
        if (form.has('cancel')) {
            back.searchParams.set('error', 'access_denied');
        } else if (!account || account.disabled) {
            return html(response, 200, `<form method="post" action="${escaped(request.url)}"><input name="login"><input type="password" name="password"><button>Sign in</button></form>`);
        } else {
            const code = randomUUID().replaceAll('-', '').slice(0, 20);
            this.codes.set(code, { login, client: asked.get('client_id'), back: asked.get('redirect_uri'), challenge: asked.get('code_challenge'), scope: asked.get('scope') ?? '', at: Date.now() });
            back.searchParams.set('code', code);
        }
        for (const [name, value] of Object.entries(this.fault.redirect ?? {})) back.searchParams.set(name, value);
        const cookie = randomUUID();
        this.browsers.set(cookie, login);
        response.writeHead(302, { location: back.href, 'set-cookie': `user_session=${cookie}; Path=/; Secure; HttpOnly; SameSite=Lax` });
        response.end();
    }

    /** Errors come with 200, and everything as a form unless JSON is asked for. */
    async token(request, response) {
        const form = new URLSearchParams(await body(request));
        const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /i, ''), 'base64').toString().split(':').map(decodeURIComponent);
        const id = form.get('client_id') ?? basic[0];
        const secret = form.get('client_secret') ?? basic[1];
        const say = value => {
            if (/json/.test(request.headers.accept ?? '')) return json(response, 200, value);
            response.writeHead(200, { 'content-type': 'application/x-www-form-urlencoded' });
            response.end(new URLSearchParams(value).toString());
        };
        if (this.clients[id]?.client_secret !== secret) return say({ error: 'incorrect_client_credentials', error_description: 'The client_id and/or client_secret passed are incorrect.' });
        const code = this.codes.get(form.get('code'));
        this.codes.delete(form.get('code'));
        const proof = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
        const matches = code && code.client === id && code.back === form.get('redirect_uri') && (!code.challenge || code.challenge === proof);
        if (!matches || Date.now() - code.at > 600_000) return say({ error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' });
        const token = `gho_${randomUUID().replaceAll('-', '')}`;
        this.tokens.set(token, code);
        say({ access_token: token, scope: code.scope.split(/[ ,]+/).join(','), token_type: 'bearer' });
    }

    async api(request, response, path, url) {
        const token = (request.headers.authorization ?? '').replace(/^(Bearer|token) /i, '');
        if (path.startsWith('/applications/')) {
            this.tokens.delete(JSON.parse((await body(request)) || '{}').access_token);
            return json(response, 204, {});
        }
        const given = this.tokens.get(token);
        const account = given && this.accounts[given.login];
        if (!account || account.disabled) return json(response, 401, { message: 'Bad credentials' });
        if (!request.headers['user-agent']) return json(response, 403, { message: 'Request forbidden by administrative rules.' });
        if (this.fault.api) return json(response, this.fault.api.status, { message: 'no' });
        const may = scope => given.scope.split(/[ ,]+/).includes(scope);
        const organizations = [...new Set(account.groups.map(group => group.split('/')[0]))];
        switch (path) {
            case '/user':
                return json(response, 200, { id: account.id, login: account.login, name: account.name, email: account.email ?? null, type: 'User' });
            case '/user/emails':
                return may('user:email') || may('user') ? this.list(response, url, account.emails ?? [{ email: account.email, primary: true, verified: true }]) : json(response, 404, { message: 'Not Found' });
            case '/user/orgs':
                return this.list(response, url, organizations.map(login => ({ login, id: 1, description: '' })));
            case '/user/memberships/orgs':
                return this.list(response, url, organizations.map(login => ({ state: 'active', role: 'member', organization: { login, id: 1 } })));
            case '/user/teams':
                if (!may('read:org')) return json(response, 403, { message: 'Resource not accessible' });
                return this.list(response, url, account.groups.filter(group => group.includes('/')).map(group => {
                    const [login, slug] = group.split('/');
                    return { id: 1, name: slug, slug, organization: { login, id: 1 } };
                }));
            default:
                return json(response, 404, { message: 'Not Found' });
        }
    }

    /** A page of a list and the address of the next one, as GitHub gives it: in a header. */
    list(response, url, all) {
        const page = Number(url.searchParams.get('page') ?? 1);
        const size = Math.min(Number(url.searchParams.get('per_page') ?? 30), this.kind.page);
        url.searchParams.set('page', String(page + 1));
        const more = page * size < all.length;
        json(response, 200, all.slice((page - 1) * size, page * size), more ? { link: `<${this.origin}${url.pathname}${url.search}>; rel="next", <${url}>; rel="last"` } : {});
    }
}
