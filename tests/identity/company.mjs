// One company's provider: the certified `oidc-provider`, unchanged, with accounts, pages and keys that a test sets.

import { generateKeyPairSync, randomUUID } from 'node:crypto';

import Provider, { interactionPolicy } from 'oidc-provider';

import { directories } from './directories.mjs';
import { compact, faults } from './faults.mjs';
import { grants } from './grants.mjs';
import { KINDS } from './kinds.mjs';
import { body, escaped, html, listen } from './listener.mjs';

export async function company(id, options, tls, others) {
    const house = new Company(id, options, others);
    house.listener = await listen(tls, (request, response) => house.answer(request, response));
    house.origin = `https://${house.listener.host}`;
    house.issuer = house.origin + (options.path ?? house.kind.path ?? '');
    house.rotate({});
    return house;
}

export class Company {
    constructor(id, { kind = 'oidc', ...options }, others) {
        Object.assign(this, { id, others, kind: { ...KINDS[kind], ...options }, accounts: {}, clients: {}, fault: {} });
        // Whose session the browser is taken to have (`auto`), whether a client is known to the person already.
        Object.assign(this, { auto: null, consent: 'given', records: new Map(), calls: [] });
        this.directory = directories(this);
    }

    // ---- what tests set

    account(login, members) {
        const known = this.accounts[login] ?? { login, sub: `${this.id}-${login}`, name: login, groups: [], password: 'password' };
        this.accounts[login] = { ...known, ...members };
    }

    client({ client_id = 'portcullis', ...members }) {
        const known = this.clients[client_id] ?? { client_id, client_secret: `${client_id}-secret`, grant_types: ['authorization_code', 'refresh_token'] };
        this.clients[client_id] = { ...known, ...members };
        this.restart();
    }

    /** New keys; with `keep` the old ones stay published behind them. */
    rotate({ keep = false, alg = 'RS256' }) {
        this.keys = [newKey(alg), ...(keep ? this.keys : [])];
        this.restart();
    }

    /** A token of any content, signed with the key in use: for what no flow of this provider issues. */
    sign({ header = {}, payload = {} }) {
        const now = Math.floor(Date.now() / 1000);
        const [key] = this.keys;
        const claims = { iss: this.issuer, iat: now, exp: now + 120, jti: randomUUID(), ...payload };
        for (const [name, value] of Object.entries(claims)) if (value === null) delete claims[name];
        return compact({ alg: key.alg, kid: key.kid, ...header }, claims, key);
    }

    /** Tells a client that somebody's session has ended, by the provider's own means. */
    async logout({ login, sid, client_id = 'portcullis' }) {
        const client = await this.provider.Client.find(client_id);
        await client.backchannelLogout(this.accounts[login].sub, sid ?? this.sessionOf(login, client_id));
    }

    sessionOf(login, client) {
        for (const [key, record] of this.records) {
            if (key.startsWith('Session:') && record.accountId === this.accounts[login].sub) return record.authorizations?.[client]?.sid;
        }
        return undefined;
    }

    // ---- the provider itself

    /** Keys and clients are read at the start only: the same records under a new instance. */
    restart() {
        this.provider = new Provider(this.issuer, this.configuration());
        this.provider.use(faults(this));
        grants(this);
        this.callback = this.provider.callback();
    }

    configuration() {
        const { records, kind } = this;
        return {
            adapter: model => new Records(model, records),
            clients: Object.values(this.clients),
            jwks: { keys: this.keys },
            claims: { ...kind.claims, openid: ['sub', ...(kind.claims.openid ?? [])] },
            ...(kind.scopes ? { scopes: kind.scopes } : {}),
            acrValues: ['urn:example:password', 'urn:example:hardware'],
            conformIdTokenClaims: false,
            cookies: { keys: ['a key'], names: Object.fromEntries(['session', 'interaction', 'resume'].map(name => [name, `${this.id}_${name}`])) },
            extraParams: ['access_type', 'hd', 'domain_hint'],
            features: {
                devInteractions: { enabled: false },
                backchannelLogout: { enabled: true },
                introspection: { enabled: true },
                revocation: { enabled: true },
                clientCredentials: { enabled: true },
                rpInitiatedLogout: { logoutSource: askLogout },
                resourceIndicators: {
                    defaultResource: () => undefined,
                    getResourceServerInfo: (ctx, resource) => ({
                        scope: 'mcp:read mcp:call',
                        audience: resource,
                        accessTokenFormat: 'jwt',
                        jwt: { sign: { alg: this.keys[0].alg } }
                    })
                }
            },
            enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
            clientDefaults: { id_token_signed_response_alg: this.keys[0].alg },
            // Requests go to the gateway on loopback.
            fetch: (url, { dispatcher, ...options }) => fetch(url, options),
            findAccount: (ctx, sub) => this.find(account => account.sub === sub),
            interactions: { url: (ctx, interaction) => `${this.path()}/interaction/${interaction.uid}`, policy: interactionPolicy.base() },
            issueRefreshToken: (ctx, client, code) => this.gives(client, code),
            expiresWithSession: () => false,
            rotateRefreshToken: () => kind.rotates ?? true,
            loadExistingGrant: ctx => this.grant(ctx),
            pkce: { required: () => false },
            renderError: (ctx, out) => { ctx.body = `<main>${escaped(out.error)}: ${escaped(out.error_description)}</main>`; },
            ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 30 * 86400, Session: 14 * 86400, Grant: 30 * 86400, Interaction: 3600, AuthorizationCode: 60 }
        };
    }

    path() {
        return new URL(this.issuer).pathname.replace(/\/$/, '');
    }

    find(matches) {
        const account = Object.values(this.accounts).find(account => matches(account) && !account.disabled);
        if (!account) return undefined;
        const { sub, name, email, email_verified = true, groups } = account;
        const usual = { sub, name, preferred_username: account.username ?? account.login, email, email_verified, groups };
        const claims = { ...usual, ...this.kind.identity?.(account, this), ...account.claims };
        return { accountId: sub, claims: () => Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)) };
    }

    gives(client, code) {
        if (this.kind.offline === 'no' || !client.grantTypeAllowed('refresh_token')) return false;
        if (this.kind.offline === 'access_type') return this.offline.has(code.accountId);
        // Strictly by the standard: only what was asked with `prompt=consent` and given there.
        return this.kind.offline === 'strict' ? code.scopes.has('offline_access') : true;
    }

    offline = new Set();

    /** Most companies have agreed to the client for everybody; with `ask` each person does. */
    async grant(ctx) {
        const id = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
        const known = id && (await this.provider.Grant.find(id));
        if (known || this.consent === 'ask') return known;
        const grant = new this.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
        grant.addOIDCScope('openid profile email groups offline_access');
        grant.addResourceScope(ctx.oidc.params.resource ?? 'urn:none', 'mcp:read mcp:call');
        await grant.save();
        return grant;
    }

    // ---- its pages

    async answer(request, response) {
        const path = this.path();
        if (await this.directory(request, response)) return;
        if (!request.url.startsWith(path)) return void html(response, 404, 'nothing here');
        request.originalUrl = request.url;
        request.url = request.url.slice(path.length) || '/';
        if (this.kind.scopesAnew && request.method === 'POST' && request.url === '/token') request.body = anew(await body(request));
        const interaction = request.url.match(/^\/interaction\/[\w-]+$/);
        if (!interaction) return void this.callback(request, response);
        try {
            await this.interact(request, response);
        } catch (error) {
            html(response, 400, `<p>${escaped(error.message)}</p>`);
        }
    }

    async interact(request, response) {
        const { prompt, params, session } = await this.provider.interactionDetails(request, response);
        const form = Object.fromEntries(new URLSearchParams(request.method === 'POST' ? await body(request) : ''));
        const finish = result => this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
        if (form.cancel) return finish({ error: 'access_denied', error_description: 'the person said no' });
        if (prompt.name === 'login') {
            const login = this.auto ?? form.login;
            const account = this.accounts[login];
            if (account && !account.disabled && (this.auto || form.password === account.password)) {
                if (params.access_type === 'offline') this.offline.add(account.sub);
                const acr = account.acr ?? params.acr_values?.split(' ')[0];
                return finish({ login: { accountId: account.sub, amr: ['pwd'], ...(acr ? { acr } : {}) } });
            }
            const said = request.method === 'POST' ? '<p role="alert">That is not right.</p>' : '';
            return html(response, 200, `${said}<form method="post" action="${escaped(request.originalUrl)}"><input name="login" value="${escaped(params.login_hint)}"><input type="password" name="password"><button>Sign in</button></form>`);
        }
        if (this.auto || request.method === 'POST' || this.consent === 'given') {
            return finish({ consent: { grantId: await this.agreed(params, session.accountId) } });
        }
        html(response, 200, `<p>${escaped(params.client_id)} wants to know who you are.</p><form method="post" action="${escaped(request.originalUrl)}"><button name="agree" value="yes">Continue</button><button name="cancel" value="yes">Cancel</button></form>`);
    }

    /** What somebody has agreed to on the page. */
    agreed(params, accountId) {
        const grant = new this.provider.Grant({ clientId: params.client_id, accountId });
        grant.addOIDCScope(params.scope);
        return grant.save();
    }
}

/** Where a refresh token is good for any scope that was agreed to, whatever it was given with. */
function anew(text) {
    const form = Object.fromEntries(new URLSearchParams(text));
    if (form.grant_type === 'refresh_token') delete form.scope;
    return form;
}

function askLogout(ctx, form) {
    ctx.body = `<!doctype html><title>Provider</title><main>${form.replace('</form>', '<button name="logout" value="yes">Sign out</button></form>')}</main>`;
}

/** What the provider keeps, in memory, the same for all its instances. */
class Records {
    constructor(model, records) {
        Object.assign(this, { model, records });
    }

    key = id => `${this.model}:${id}`;
    find = async id => this.records.get(this.key(id));
    upsert = async (id, record) => void this.records.set(this.key(id), record);
    destroy = async id => void this.records.delete(this.key(id));
    consume = async id => void (this.records.get(this.key(id)).consumed = Math.floor(Date.now() / 1000));

    findByUid = async uid => this.found(record => record.uid === uid);
    findByUserCode = async code => this.found(record => record.userCode === code);
    revokeByGrantId = async grant => {
        for (const [key, record] of this.records) if (key.startsWith(`${this.model}:`) && record.grantId === grant) this.records.delete(key);
    };

    found(matches) {
        for (const [key, record] of this.records) if (key.startsWith(`${this.model}:`) && matches(record)) return record;
        return undefined;
    }
}

export function newKey(alg) {
    const { privateKey } = alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
    return { ...privateKey.export({ format: 'jwk' }), kid: `key-${randomUUID().slice(0, 8)}`, use: 'sig', alg };
}
