-- Upstream accounts: the keys that seal them, what people have at the servers, and what is remembered of those servers.

-- A data key is kept once for each root key that may open it. The smallest id is the first one's; its row is never emptied.
CREATE TABLE key_ring (
    id BIGINT NOT NULL,
    root_key_id TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (id, root_key_id)
);

-- What somebody has at a server. holder is a person's id, or 'shared'. version grows with whatever replaces what is sealed;
-- refresh_begun_at stands while nobody knows how a refresh ended; renew_at is when the next one is due on its own.
CREATE TABLE connections (
    id TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C",
    resource TEXT COLLATE "C",
    client_id TEXT COLLATE "C",
    scopes TEXT NOT NULL,
    wants TEXT NOT NULL DEFAULT '',
    account TEXT,
    sealed BYTEA,
    expires_at BIGINT,
    version BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    why TEXT,
    failing_since BIGINT,
    renew_at BIGINT,
    refresh_begun_at BIGINT,
    leased_until BIGINT,
    lease TEXT COLLATE "C",
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
    issuer TEXT COLLATE "C" PRIMARY KEY,
    way TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    sealed BYTEA,
    auth_method TEXT COLLATE "C" NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- A connection that is being made. Bound to person, session and browser; what was asked of whom is sealed.
CREATE TABLE connect_flows (
    state_hash BYTEA PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    server TEXT COLLATE "C" NOT NULL,
    session TEXT COLLATE "C" NOT NULL,
    browser_hash BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX connect_flows_person ON connect_flows (person, expires_at);
CREATE INDEX connect_flows_expires ON connect_flows (expires_at);

-- What a server said of itself, so that a restart need not ask again. url is where it was said.
CREATE TABLE server_facts (
    server TEXT COLLATE "C" PRIMARY KEY,
    url TEXT COLLATE "C" NOT NULL,
    versions TEXT NOT NULL,
    asks_credential_at BIGINT,
    learned_at BIGINT NOT NULL
);

-- The last list of tools each holder saw at a server; the empty holder is everybody.
CREATE TABLE tool_lists (
    server TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    list TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (server, holder)
);
CREATE INDEX tool_lists_holder ON tool_lists (holder);
CREATE INDEX tool_lists_seen ON tool_lists (seen_at);
