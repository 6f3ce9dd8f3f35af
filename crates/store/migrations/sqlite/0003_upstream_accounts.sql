-- Upstream accounts: the keys that seal them, what people have at the servers, and what is remembered of those servers.

-- A data key is kept once for each root key that may open it. The smallest id is the first one's; its row is never emptied.
CREATE TABLE key_ring (
    id BIGINT NOT NULL,
    root_key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (id, root_key_id)
);

-- What somebody has at a server. holder is a person's id, or 'shared'. version grows with whatever replaces what is sealed;
-- refresh_begun_at stands while nobody knows how a refresh ended; renew_at is when the next one is due on its own.
CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    server TEXT NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT,
    resource TEXT,
    client_id TEXT,
    scopes TEXT NOT NULL,
    wants TEXT NOT NULL DEFAULT '',
    account TEXT,
    sealed BLOB,
    expires_at BIGINT,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    why TEXT,
    failing_since BIGINT,
    renew_at BIGINT,
    refresh_begun_at BIGINT,
    leased_until BIGINT,
    lease TEXT,
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    used_at BIGINT,
    UNIQUE (holder, server)
);
CREATE INDEX connections_server ON connections (server, holder);
CREATE INDEX connections_renew ON connections (renew_at);
CREATE INDEX connections_begun ON connections (refresh_begun_at);

-- Who we are at an authorization server that registered us.
CREATE TABLE upstream_clients (
    issuer TEXT PRIMARY KEY,
    way TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed BLOB,
    auth_method TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- A connection that is being made. Bound to person, session and browser; what was asked of whom is sealed.
CREATE TABLE connect_flows (
    state_hash BLOB PRIMARY KEY,
    holder TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    session TEXT NOT NULL,
    browser_hash BLOB NOT NULL,
    sealed BLOB NOT NULL,
    stage TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX connect_flows_person ON connect_flows (person, expires_at);
CREATE INDEX connect_flows_expires ON connect_flows (expires_at);

-- What a server said of itself, so that a restart need not ask again. url is where it was said.
CREATE TABLE server_facts (
    server TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    versions TEXT NOT NULL,
    asks_credential_at BIGINT,
    learned_at BIGINT NOT NULL
);

-- The last list of tools each holder saw at a server; the empty holder is everybody.
CREATE TABLE tool_lists (
    server TEXT NOT NULL,
    holder TEXT NOT NULL,
    digest BLOB NOT NULL,
    list TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (server, holder)
);
CREATE INDEX tool_lists_holder ON tool_lists (holder);
CREATE INDEX tool_lists_seen ON tool_lists (seen_at);
