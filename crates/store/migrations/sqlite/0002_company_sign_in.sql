-- Company sign-in: identities at providers, what a provider's directory says, machines, and who was ended how.

-- kind is person or service; a service account has an owner.
ALTER TABLE people ADD COLUMN kind TEXT NOT NULL DEFAULT 'person';
ALTER TABLE people ADD COLUMN owner TEXT REFERENCES people (id);
CREATE INDEX people_owner ON people (owner);

-- id is what pages name a session by; it has nothing to do with the cookie.
ALTER TABLE sessions ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE sessions SET id = 'bse_' || lower(hex(randomblob(16)));
CREATE UNIQUE INDEX sessions_id ON sessions (id);
ALTER TABLE sessions ADD COLUMN provider TEXT;
ALTER TABLE sessions ADD COLUMN issuer TEXT;
ALTER TABLE sessions ADD COLUMN subject TEXT;
ALTER TABLE sessions ADD COLUMN sid TEXT;
ALTER TABLE sessions ADD COLUMN authenticated_at BIGINT NOT NULL DEFAULT 0;
UPDATE sessions SET authenticated_at = created_at;
ALTER TABLE sessions ADD COLUMN acr TEXT;
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN address TEXT;
ALTER TABLE sessions ADD COLUMN logout_hint BLOB;
CREATE INDEX sessions_identity ON sessions (issuer, subject);

-- session is the public id of the browser session in which a grant was approved; issuer, subject and sid are those of that
-- session, kept because the session may be gone when its provider ends the sign-in.
ALTER TABLE grants ADD COLUMN authenticated_at BIGINT;
ALTER TABLE grants ADD COLUMN acr TEXT;
ALTER TABLE grants ADD COLUMN session TEXT;
ALTER TABLE grants ADD COLUMN issuer TEXT;
ALTER TABLE grants ADD COLUMN subject TEXT;
ALTER TABLE grants ADD COLUMN sid TEXT;
ALTER TABLE grants ADD COLUMN freshened_at BIGINT;
CREATE INDEX grants_identity ON grants (issuer, subject);
CREATE INDEX grants_freshened ON grants (freshened_at);

-- A person as a provider knows them. Nothing but issuer and subject finds one.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    provider TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    tenant TEXT,
    email TEXT,
    email_key TEXT,
    external_id TEXT,
    member_of TEXT NOT NULL,
    refresh_sealed BLOB,
    created_at BIGINT NOT NULL,
    signed_in_at BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    failing_since BIGINT,
    leased_until BIGINT,
    ended_at BIGINT,
    ended_why TEXT,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_person ON identities (person);
CREATE INDEX identities_checked ON identities (checked_at);
CREATE INDEX identities_external ON identities (provider, external_id);
CREATE INDEX identities_email ON identities (provider, email_key);

-- An access key is a grant whose credential the person carries themselves.
CREATE TABLE access_keys (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL UNIQUE REFERENCES grants (id) ON DELETE CASCADE,
    name TEXT NOT NULL
);

-- What a provider's directory told of people. A deleted row is kept for a while, so that the directory finds its person again.
CREATE TABLE scim_users (
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    user_name TEXT NOT NULL,
    user_name_key TEXT NOT NULL,
    external_id TEXT,
    email_key TEXT,
    attributes TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    deactivated_at BIGINT,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX scim_users_name ON scim_users (provider, user_name_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX scim_users_person ON scim_users (person) WHERE deleted_at IS NULL;
CREATE INDEX scim_users_external ON scim_users (provider, external_id);
CREATE INDEX scim_users_email ON scim_users (provider, email_key);
CREATE INDEX scim_users_deleted ON scim_users (deleted_at);

CREATE TABLE scim_groups (
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    display_name TEXT NOT NULL,
    display_name_key TEXT NOT NULL,
    external_id TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (provider, display_name_key)
);

CREATE TABLE scim_members (
    group_id TEXT NOT NULL REFERENCES scim_groups (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES scim_users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX scim_members_user ON scim_members (user_id);

-- Signed reports of what was ended for a person.
CREATE TABLE reports (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    report TEXT NOT NULL
);
CREATE INDEX reports_person ON reports (person, created_at);
