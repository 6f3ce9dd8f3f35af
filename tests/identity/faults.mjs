// What no honest provider does: answers changed on their way out, signed anew with the provider's own key.
//
// One fault has any of these, and stays until the next one or `{}`:
//   claims: { nonce: 'x', aud: null }   members of the ID token, `null` takes one away
//   shift: { exp: -600 }                seconds added to a time
//   header: { kid: 'x' }                members of its header
//   sign: 'none' | 'hs256' | 'other' | 'broken'    not with the own key: none at all, the public key as a secret,
//                                       another provider's key, or the own signature with one bit changed
//   padding: 40000                      a claim of so many bytes
//   redirect: { iss: null, state: 'x' } parameters of the answer at the redirect address
//   refuse: { error: 'access_denied' }  that answer is an error instead
//   discovery: { issuer: 'x' }          members of the document
//   jwks: { keys: [] } | { status: 500 } | { huge: true }
//   token: { status: 503, error: 'x' }  the answer of the token endpoint
//   userinfo: { sub: 'x' }              members of that answer

import { createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto';

const encoded = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const decoded = part => JSON.parse(Buffer.from(part, 'base64url'));

/** Signs any header and payload with a private key (JWK). */
export function compact(header, payload, key) {
    const input = `${encoded(header)}.${encoded(payload)}`;
    const digest = { RS256: 'sha256', PS256: 'sha256', ES256: 'sha256', RS512: 'sha512' }[key.alg];
    const privateKey = createPrivateKey({ key, format: 'jwk' });
    return `${input}.${sign(digest, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** `members` with those of `changes`; null takes one away. */
function changed(members, changes = {}) {
    const result = { ...members, ...changes };
    for (const [name, value] of Object.entries(changes)) if (value === null) delete result[name];
    return result;
}

export function forged(token, fault, own, other) {
    const [head, body, signature] = token.split('.');
    const payload = changed(decoded(body), fault.claims);
    for (const [name, by] of Object.entries(fault.shift ?? {})) payload[name] = Number(payload[name] ?? Date.now() / 1000) + by;
    if (fault.padding) payload.padding = 'x'.repeat(fault.padding);
    const before = decoded(head);
    const key = own.find(key => key.kid === before.kid);
    const header = algorithm => changed({ ...before, alg: algorithm }, fault.header);
    switch (fault.sign) {
        case 'none':
            return `${encoded(header('none'))}.${encoded(payload)}.`;
        case 'hs256': {
            const secret = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
            const input = `${encoded(header('HS256'))}.${encoded(payload)}`;
            return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
        }
        case 'other':
            return compact(header(other[0].alg), payload, other[0]);
        case 'broken': {
            const bytes = Buffer.from(signature, 'base64url');
            bytes[bytes.length - 1] ^= 1;
            return `${head}.${body}.${bytes.toString('base64url')}`;
        }
        default:
            return compact(header(key.alg), payload, key);
    }
}

const ownIssuer = (token, company) => company.kind.issuers(company.origin, decoded(token.split('.')[1]).tid);
const touchesToken = fault => fault.claims || fault.shift || fault.header || fault.sign || fault.padding;

/** The middleware of one provider; `company` says which fault there is and which keys. */
export function faults(company) {
    return async (ctx, next) => {
        await next();
        const { fault } = company;
        const name = ctx.oidc?.route;
        if (name === 'token') {
            const own = ctx.body?.id_token && company.kind.issuers && ownIssuer(ctx.body.id_token, company);
            if (own) ctx.body.id_token = forged(ctx.body.id_token, { claims: { iss: own } }, company.keys, []);
            if (touchesToken(fault) && ctx.body?.id_token) {
                ctx.body.id_token = forged(ctx.body.id_token, fault, company.keys, company.others());
            }
            if (fault.token) {
                const { status = 200, ...members } = fault.token;
                ctx.body = Object.keys(members).length && status >= 400 ? members : changed(ctx.body ?? {}, members);
                ctx.status = status;
            }
        }
        if (name === 'discovery') {
            const silent = company.kind.iss ? {} : { authorization_response_iss_parameter_supported: null };
            const pattern = company.kind.issuers ? { issuer: company.kind.issuers(company.origin, '{tenantid}') } : {};
            ctx.body = changed({ ...ctx.body, ...company.kind.discovery, ...pattern }, { ...silent, ...fault.discovery });
        }
        if (name === 'userinfo' && fault.userinfo) ctx.body = changed(ctx.body, fault.userinfo);
        if (name === 'jwks' && fault.jwks) spoil(ctx, fault.jwks);
        if (name === 'authorization' || name === 'resume') lead(ctx, fault, company);
    };
}

function spoil(ctx, { status, huge, keys }) {
    if (keys) ctx.body = { keys };
    if (huge) ctx.body = { ...ctx.body, padding: 'x'.repeat(300 << 10) };
    if (status) ctx.status = status;
}

function lead(ctx, fault, company) {
    const location = ctx.response.get('location');
    const target = location && URL.parse(location);
    if (!target || !(target.searchParams.has('code') || target.searchParams.has('error'))) return;
    const set = (name, value) => (value === null ? target.searchParams.delete(name) : target.searchParams.set(name, value));
    if (!company.kind.iss) set('iss', null);
    if (fault.refuse) {
        set('code', null);
        for (const [name, value] of Object.entries(fault.refuse)) set(name, value);
    }
    for (const [name, value] of Object.entries(fault.redirect ?? {})) set(name, value);
    ctx.response.set('location', target.href);
}
