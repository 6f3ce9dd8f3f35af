// An authorization server of an MCP server: `oidc-provider`, unchanged, with registration (RFC 7591), resource indicators,
// rotation, revocation, and the grants that act without a browser.
//
// What one can be told (`set`, or when it is made):
//   rotates: true      a refresh token is good once; its second use ends everything
//   grace: 0           but not within so many seconds of the first, as some providers have it
//   expires: 3600      seconds of an access token
//   lives: 2592000     seconds of a refresh token that nobody uses
//   offline: 'always' | 'no' | 'strict'
//   registration: true, documents: false, resources: true, path: '/t'
//   trusts: { [issuer]: { keys: [...] } }        whose identity assertions it takes; `jwks` is added by the control listener
//   consent: 'given' | 'ask'

import { Company } from '../identity/company.mjs';
import { BEARER, EXCHANGE, errors, signedBy } from '../identity/grants.mjs';
import { behind, front } from './front.mjs';
import { reach } from './reach.mjs';

const SCOPES = ['notes:read', 'notes:write', 'mcp:tools'];
const YEAR = 365 * 86400;

export async function authorization(id, options, tls) {
    const house = new Authorization(id, options, tls);
    house.listener = await front(tls);
    house.origin = house.listener.origin;
    house.issuer = house.origin + (options.path ?? '');
    house.rotate({});
    house.listener.to(await behind((request, response) => house.answer(request, response)));
    return house;
}

class Authorization extends Company {
    constructor(id, options, tls) {
        super(id, { kind: 'oidc', rotates: true, grace: 0, expires: 3600, lives: 30 * 86400, offline: 'always', ...options }, () => []);
        Object.assign(this, { tls, chains: 'no', spent: new Map() });
    }

    restart() {
        super.restart();
        // Behind the front.
        this.provider.proxy = true;
    }

    configuration() {
        const { kind } = this;
        const usual = super.configuration();
        const { resourceIndicators, ...features } = usual.features;
        return {
            ...usual,
            // A rotated token stays good for a while where the provider is that kind.
            adapter: model => (model === 'RefreshToken' ? lenient(usual.adapter(model), this) : usual.adapter(model)),
            scopes: ['openid', 'offline_access', ...SCOPES],
            clientDefaults: { ...usual.clientDefaults, grant_types: ['authorization_code', 'refresh_token'] },
            clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
            features: {
                ...features,
                registration: { enabled: kind.registration ?? true },
                registrationManagement: { enabled: kind.registration ?? true },
                ...(kind.documents ? { clientIdMetadataDocument: { enabled: true, ack: 'draft-02' } } : {}),
                resourceIndicators: {
                    enabled: kind.resources ?? true,
                    defaultResource: () => undefined,
                    useGrantedResource: () => true,
                    getResourceServerInfo: (ctx, resource) => this.resource(resource)
                }
            },
            fetch: reach(this.tls),
            pkce: { required: () => true },
            extraClientMetadata: { properties: ['application_type_sent'] },
            ttl: { ...usual.ttl, AccessToken: () => kind.expires, ClientCredentials: () => kind.expires, RefreshToken: () => kind.lives, Session: YEAR, Grant: YEAR }
        };
    }

    resource(resource) {
        if (this.kind.refusesResource) throw new errors.InvalidTarget('unknown resource');
        return { scope: SCOPES.join(' '), audience: resource, accessTokenFormat: 'opaque' };
    }

    /** What was agreed once and what is asked now; with `ask` it is the page that adds to it. */
    async grant(ctx) {
        const { params, client, session, result } = ctx.oidc;
        const id = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
        const known = id && (await this.provider.Grant.find(id));
        if (this.consent === 'ask') return known;
        return this.provider.Grant.find(await this.extended(known, params, client.clientId, session.accountId));
    }

    async agreed(params, accountId) {
        const { provider, records } = this;
        const id = [...records.values()].find(record => record.kind === 'Grant' && record.clientId === params.client_id && record.accountId === accountId)?.jti;
        return this.extended(id && (await provider.Grant.find(id)), params, params.client_id, accountId);
    }

    extended(known, params, clientId, accountId) {
        const grant = known ?? new this.provider.Grant({ clientId, accountId });
        grant.addOIDCScope(params.scope ?? 'openid');
        for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, params.scope ?? '');
        return grant.save();
    }

    // ---- what its resource servers ask

    /** Who an access token is for and what it may, or nothing. */
    async known(token) {
        const found = (await this.provider.AccessToken.find(token)) ?? (await this.provider.ClientCredentials.find(token));
        if (!found) return undefined;
        const account = Object.values(this.accounts).find(account => account.sub === found.accountId);
        if (found.accountId && (!account || account.disabled)) return undefined;
        const resource = [found.aud].flat()[0];
        return { token, clientId: found.clientId, scopes: (found.scope ?? '').split(' ').filter(Boolean), expiresAt: found.exp, ...(resource && URL.canParse(resource) ? { resource: new URL(resource) } : {}), extra: { login: account?.login ?? found.clientId } };
    }

    // ---- what tests ask and do

    /** Live refresh and access tokens of somebody. */
    tokens(login) {
        const sub = this.accounts[login]?.sub;
        const now = Date.now() / 1000;
        const count = kind => [...this.records.values()].filter(record => record.kind === kind && record.accountId === sub && !record.consumed && record.exp > now).length;
        return { refresh: count('RefreshToken'), access: count('AccessToken') };
    }

    /** The access tokens of somebody are over before their time. */
    expire(login) {
        const sub = this.accounts[login]?.sub;
        for (const [key, record] of this.records) if (record.accountId === sub && record.kind === 'AccessToken') this.records.delete(key);
    }

    /** Everything that somebody once agreed to is over, at the provider's own wish. */
    end(login) {
        const sub = this.accounts[login]?.sub;
        for (const [key, record] of this.records) if (record.accountId === sub && record.kind !== 'Session') this.records.delete(key);
    }

    // ---- grants without a browser

    /** RFC 7523 with an identity assertion of an issuer that it trusts. */
    async bearer(ctx) {
        const { params, client } = ctx.oidc;
        const no = description => new errors.CustomOIDCProviderError('invalid_grant', description);
        const said = JSON.parse(Buffer.from(String(params.assertion).split('.')[1] ?? 'e30', 'base64url'));
        const trusted = this.kind.trusts?.[said.iss];
        if (!trusted) throw no('the issuer of the assertion is not trusted here');
        const claims = signedBy(trusted.keys, params.assertion);
        if (!claims || claims.typ !== 'oauth-id-jag+jwt') throw no('the assertion is not good');
        if (claims.aud !== this.issuer) throw no('the assertion is for another authorization server');
        if (claims.client_id !== client.clientId) throw no('the assertion is for another client');
        if (claims.exp * 1000 < Date.now()) throw no('the assertion has expired');
        if (this.spent.has(claims.jti)) throw no('the assertion was used before');
        this.spent.set(claims.jti, claims.exp);
        const account = Object.values(this.accounts).find(account => account.email === claims.email && !account.disabled);
        if (!account) throw no('nobody here has this address');
        const resource = [claims.resource ?? params.resource].flat()[0];
        const scope = params.scope ?? claims.scope;
        const grant = await this.provider.Grant.find(await this.extended(undefined, { scope, resource }, client.clientId, account.sub));
        const token = new this.provider.AccessToken({ client, accountId: account.sub, grantId: grant.jti, gty: 'jwt_bearer', scope });
        if (resource) token.resourceServer = new this.provider.ResourceServer(resource, this.resource(resource));
        ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: this.kind.expires, ...(scope ? { scope } : {}) };
    }
}

export const GRANTS = [EXCHANGE, BEARER];

/** Lets a spent refresh token look unspent for as long as its provider is lenient. */
function lenient(records, house) {
    const find = records.find;
    records.find = async id => {
        const record = await find(id);
        const seconds = Math.floor(Date.now() / 1000);
        return record?.consumed && seconds - record.consumed < house.kind.grace ? { ...record, consumed: undefined } : record;
    };
    return records;
}
