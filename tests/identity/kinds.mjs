// What the known products do differently from one another, as far as a relying party can see it.
//
// path:      where the issuer lies under the host
// claims:    which claims a scope opens; what is under `openid` is in every ID token
// identity:  the claims of one account beyond the usual ones
// discovery: what the product's document says otherwise
// issuers:   where each directory has an issuer of its own
// iss:       whether the answer at the redirect address says who gives it (RFC 9207)
// scopesAnew: whether a refresh may ask for scopes of another of its applications
// offline:   when a refresh token is given: always, `strict`ly by scope and consent, or by `access_type` as Google has it

const usual = { profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] };
const without = (...names) => Object.fromEntries(names.map(name => [name, undefined]));

export const TENANT = '8c2a6f0e-5b1d-4f0c-9d3e-2f6a7b8c9d0e';

const entra = {
    scopesAnew: true,
    // An address is never said to be verified; groups come as identifiers, and in a reference when they are many.
    claims: { profile: usual.profile, email: ['email'], openid: ['tid', 'oid', 'groups', '_claim_names', '_claim_sources'] },
    identity: (account, { origin }) => ({
        tid: account.tid ?? TENANT,
        oid: account.oid ?? `oid-${account.sub}`,
        ...(account.overage && {
            groups: undefined,
            _claim_names: { groups: 'src1' },
            _claim_sources: { src1: { endpoint: `${origin}/graph/v1.0/users/${account.sub}/getMemberObjects` } }
        })
    }),
    discovery: without('code_challenge_methods_supported', 'revocation_endpoint', 'introspection_endpoint')
};

export const KINDS = {
    oidc: { claims: { ...usual, groups: ['groups'] }, iss: true, offline: 'strict' },
    okta: { claims: { ...usual, groups: ['groups'] } },
    // Its groups are a claim that somebody has set up there, with any scope.
    'okta-custom': { path: '/oauth2/default', claims: { ...usual, openid: ['groups'] } },
    keycloak: {
        path: '/realms/company',
        claims: { ...usual, openid: ['groups', 'realm_access'] },
        identity: account => ({
            groups: account.groups.map(group => `/${group}`),
            realm_access: { roles: account.groups }
        }),
        iss: true
    },
    auth0: {
        path: '/',
        claims: { ...usual, openid: ['https://example.com/groups'] },
        identity: account => ({ 'https://example.com/groups': account.groups, groups: undefined })
    },
    entra: {
        path: `/${TENANT}/v2.0`,
        ...entra
    },
    // For the people of many directories: the document names no issuer but a pattern, and each token its own.
    'entra-organizations': {
        path: '/organizations/v2.0',
        ...entra,
        issuers: (origin, tenant) => `${origin}/${tenant}/v2.0`
    },
    google: {
        claims: { ...usual, openid: ['hd'] },
        identity: account => ({ hd: account.hd, groups: undefined }),
        scopes: ['openid', 'email', 'profile'],
        offline: 'access_type'
    }
};
