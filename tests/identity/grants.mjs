// Grants beyond the provider's own, at its extension point: token exchange (RFC 8693), identity assertions for another
// authorization server (ID-JAG), and what Entra calls "on behalf of".
//
// `house.exchange` says what the provider thinks of it: { refuse: { error, error_description }, clients: { [audience]: id },
// issued: 'another type' }; without it everybody may have everything. An account may be refused by `exchange: 'no'`.

import { createPublicKey, randomUUID, verify } from 'node:crypto';

import { errors } from 'oidc-provider';

import { compact } from './faults.mjs';

export { errors };

const TYPE = 'urn:ietf:params:oauth:token-type:';
export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

export function grants(house) {
    const { provider } = house;
    provider.registerGrantType(EXCHANGE, ctx => exchange(house, ctx), [
        'subject_token', 'subject_token_type', 'requested_token_type', 'actor_token', 'actor_token_type', 'audience', 'resource', 'scope'
    ], ['audience', 'resource']);
    const bearer = house.bearer ? ctx => house.bearer(ctx) : ctx => onBehalfOf(house, ctx);
    provider.registerGrantType(BEARER, bearer, ['assertion', 'requested_token_use', 'scope', 'resource'], ['resource']);
    provider.use(async (ctx, next) => {
        await next();
        if (ctx.oidc?.route === 'discovery' && ctx.body && house.chains !== 'no') {
            ctx.body.identity_chaining_requested_token_types_supported = [`${TYPE}id-jag`];
        }
    });
}

/** The claims of a JWT that one of these keys has signed, or nothing. */
export function signedBy(keys, token) {
    const [head, payload, signature] = String(token).split('.');
    if (!signature) return undefined;
    const header = JSON.parse(Buffer.from(head, 'base64url'));
    const key = keys.find(key => key.kid === header.kid);
    if (!key) return undefined;
    const options = { key: createPublicKey({ key: { ...key, d: undefined }, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
    const good = verify('sha256', Buffer.from(`${head}.${payload}`), options, Buffer.from(signature, 'base64url'));
    const claims = good && JSON.parse(Buffer.from(payload, 'base64url'));
    return claims && { ...claims, typ: header.typ };
}

function refused(error, description) {
    return new errors.CustomOIDCProviderError(error, description);
}

/** Whom a subject token is about; expired ID tokens are not refused, as their providers do not either. */
async function subject(house, ctx) {
    const { subject_token: token, subject_token_type: type } = ctx.oidc.params;
    const { provider } = house;
    const mine = sub => Object.values(house.accounts).find(account => account.sub === sub && !account.disabled);
    let account;
    if (type === `${TYPE}id_token`) {
        const claims = signedBy(house.keys, token);
        if (claims?.aud === ctx.oidc.client.clientId) account = mine(claims.sub);
    } else if (type === `${TYPE}refresh_token`) {
        const found = await provider.RefreshToken.find(token);
        if (found?.clientId === ctx.oidc.client.clientId) account = mine(found.accountId);
    } else if (type === `${TYPE}access_token`) {
        const found = await provider.AccessToken.find(token);
        const claims = found ? { sub: found.accountId } : signedBy(house.keys, token);
        account = claims && mine(claims.sub);
    } else {
        throw refused('invalid_request', `subject_token_type ${type} is not supported`);
    }
    if (!account) throw refused('invalid_grant', 'the subject token is not good');
    return account;
}

async function exchange(house, ctx) {
    const { params, client } = ctx.oidc;
    const account = await subject(house, ctx);
    const policy = house.exchange ?? {};
    if (policy.refuse) throw refused(policy.refuse.error, policy.refuse.error_description);
    if (account.exchange === 'no') throw refused('access_denied', `${account.login} may not use this application`);
    const requested = params.requested_token_type ?? `${TYPE}access_token`;
    const jag = requested === `${TYPE}id-jag`;
    const audience = [params.audience].flat()[0] ?? [params.resource].flat()[0];
    if (!audience) throw refused('invalid_target', 'audience or resource is missing');
    const [key] = house.keys;
    const now = Math.floor(Date.now() / 1000);
    const claims = {
        iss: house.issuer,
        sub: account.sub,
        aud: jag ? audience : [params.resource].flat()[0] ?? audience,
        client_id: jag ? policy.clients?.[audience] ?? client.clientId : client.clientId,
        jti: randomUUID(),
        iat: now,
        exp: now + (jag ? 300 : 3600),
        email: account.email,
        preferred_username: account.login,
        ...(params.resource && jag ? { resource: params.resource } : {}),
        ...(params.scope ? { scope: params.scope } : {}),
        ...(jag ? {} : { act: { sub: client.clientId } })
    };
    ctx.body = {
        access_token: compact({ alg: key.alg, kid: key.kid, typ: jag ? 'oauth-id-jag+jwt' : 'at+jwt' }, claims, key),
        issued_token_type: policy.issued ?? requested,
        token_type: jag ? 'N_A' : 'Bearer',
        expires_in: claims.exp - now,
        ...(params.scope ? { scope: params.scope } : {})
    };
}

/** Entra: our own access token for a person becomes one for the next server, with that person in it. */
async function onBehalfOf(house, ctx) {
    const { params, client } = ctx.oidc;
    if (params.requested_token_use !== 'on_behalf_of') throw refused('unsupported_grant_type', 'requested_token_use is missing');
    const found = await house.provider.AccessToken.find(params.assertion);
    const sub = found?.accountId ?? signedBy(house.keys, params.assertion)?.sub;
    const account = Object.values(house.accounts).find(account => account.sub === sub && !account.disabled);
    if (!account) throw refused('invalid_grant', 'AADSTS50013: Assertion failed signature validation.');
    const policy = house.exchange ?? {};
    if (policy.refuse) throw refused(policy.refuse.error, policy.refuse.error_description);
    const [key] = house.keys;
    const now = Math.floor(Date.now() / 1000);
    const scope = (params.scope ?? '').split(' ').find(scope => scope.endsWith('/.default')) ?? '';
    const claims = { iss: house.issuer, sub, aud: scope.replace('/.default', ''), azp: client.clientId, preferred_username: account.login, iat: now, exp: now + 3600, jti: randomUUID() };
    ctx.body = { access_token: compact({ alg: key.alg, kid: key.kid, typ: 'JWT' }, claims, key), token_type: 'Bearer', expires_in: 3600, scope: params.scope };
}
