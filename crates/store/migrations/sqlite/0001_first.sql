-- The first schema. Same tables and columns for both engines; TEXT, BIGINT and bytes only. Times are milliseconds since
-- 1970; where another design has a flag, the time at which it was raised says more.

CREATE TABLE meta (
    meta_key TEXT PRIMARY KEY,
    meta_value TEXT NOT NULL
);

-- name_key is the name in lower case: nobody gets a name that differs from another one by case only.
CREATE TABLE people (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    email TEXT,
    member_of TEXT NOT NULL,
    password_hash TEXT,
    admin_at BIGINT,
    disabled_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires ON sessions (expires_at);

CREATE TABLE invitations (
    hash BLOB PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

-- fresh_until and etag belong to clients known by a document.
CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    metadata TEXT NOT NULL,
    secret_hash BLOB,
    document_hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    fresh_until BIGINT,
    etag TEXT
);
CREATE INDEX clients_kind ON clients (kind, last_used_at, created_at);

CREATE TABLE consents (
    hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX consents_person ON consents (person, client);
CREATE INDEX consents_client ON consents (client);

CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT,
    revoked_why TEXT
);
CREATE INDEX grants_person ON grants (person);
CREATE INDEX grants_client ON grants (client);
CREATE INDEX grants_expires ON grants (expires_at);
CREATE INDEX grants_revoked ON grants (revoked_at);

CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    challenge TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT
);
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX codes_expires ON codes (expires_at);

CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    replaced_at BIGINT,
    successor BLOB
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);

-- Identifiers that may be used once: consent pages, client assertions.
CREATE TABLE spent (
    hash BLOB PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX spent_expires ON spent (expires_at);

-- MCP sessions closed by their client before their sealed identifier runs out.
CREATE TABLE ended_sessions (
    id TEXT PRIMARY KEY,
    ended_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ended_sessions_expires ON ended_sessions (expires_at);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    activates_at BIGINT NOT NULL,
    retires_at BIGINT NOT NULL
);

CREATE TABLE servers (
    name TEXT PRIMARY KEY,
    entry TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

-- What other nodes must know. A revision is never given twice, not even after old ones were pruned.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    change_key TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX changes_changed ON changes (changed_at);

-- An index of the journals; it can be rebuilt from them at any time.
CREATE TABLE audit_index (
    node TEXT NOT NULL,
    seq BIGINT NOT NULL,
    happened_at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    call_id TEXT,
    person TEXT,
    person_name TEXT,
    client TEXT,
    address TEXT,
    server TEXT,
    method TEXT,
    name TEXT,
    outcome TEXT,
    effect TEXT,
    rule TEXT,
    line TEXT NOT NULL,
    PRIMARY KEY (node, seq)
);
CREATE INDEX audit_index_at ON audit_index (happened_at);
CREATE INDEX audit_index_person ON audit_index (person, happened_at);
CREATE INDEX audit_index_server ON audit_index (server, happened_at);
CREATE INDEX audit_index_kind ON audit_index (kind, happened_at);
CREATE INDEX audit_index_call ON audit_index (call_id);

-- How far the indexer has read each journal.
CREATE TABLE audit_cursors (
    node TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    segment_bytes BIGINT NOT NULL
);
