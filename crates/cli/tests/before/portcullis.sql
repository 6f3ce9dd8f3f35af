-- Everything in the database of a deployment of the first release, as it was; only the end of its signing key is far away.
BEGIN TRANSACTION;
CREATE TABLE audit_cursors (
    node TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    segment_bytes BIGINT NOT NULL
);
INSERT INTO "audit_cursors" VALUES('cli',5,1,1244);
INSERT INTO "audit_cursors" VALUES('node-e74c678f',5,1,1193);
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
INSERT INTO "audit_index" VALUES('cli',2,1795435695371,'journal.started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"seq":2,"at":"2026-11-23T12:08:15.371Z","node":"cli","event":"journal.started","details":{"version":"0.1.0"},"hash":"-McW026ToQTymJsFwWGnsg7JffxTYzTaf_ThrK7-vxc"}');
INSERT INTO "audit_index" VALUES('cli',3,1795435695371,'person.created',NULL,NULL,'cli',NULL,NULL,NULL,NULL,'ana','success',NULL,NULL,'{"seq":3,"at":"2026-11-23T12:08:15.371Z","node":"cli","event":"person.created","person_name":"cli","name":"ana","outcome":"success","details":{"person":"usr_eqDgx5_jPQGMxlBH4AuwmA","groups":[],"method":"command, administrator"},"hash":"aZ8GFoFmb8WmfeHP7x59y525Ymmap6MuHkJ_pu9tEqc"}');
INSERT INTO "audit_index" VALUES('cli',4,1795435695547,'journal.stopped',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"seq":4,"at":"2026-11-23T12:08:15.547Z","node":"cli","event":"journal.stopped","hash":"SLEo9FI4zk4zwq8KJWdh-7swMPqdf5yIKfMCIYW8whs"}');
INSERT INTO "audit_index" VALUES('node-e74c678f',2,1795435695691,'journal.started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"seq":2,"at":"2026-11-23T12:08:15.691Z","node":"node-e74c678f","event":"journal.started","details":{"version":"0.1.0"},"hash":"FfQQ2tNOpJaERYtdLKallw2p-Nr5TS5j472wPvbfXqc"}');
INSERT INTO "audit_index" VALUES('node-e74c678f',3,1795435695920,'settings.loaded',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"seq":3,"at":"2026-11-23T12:08:15.920Z","node":"node-e74c678f","event":"settings.loaded","details":{"rules":"47DEQpj8HBSa","servers":1},"hash":"VP0JtaJE6ufwUtJssroXVdLR91o_xrlrcs60uKRC4ZQ"}');
INSERT INTO "audit_index" VALUES('node-e74c678f',4,1795435701575,'journal.stopped',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"seq":4,"at":"2026-11-23T12:08:21.575Z","node":"node-e74c678f","event":"journal.stopped","hash":"CBKjlSI3Vh5Xn2KtgMVYDprbQPS24b9BW0JuR-qMMus"}');
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    change_key TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
INSERT INTO "changes" VALUES(1,'person','usr_eqDgx5_jPQGMxlBH4AuwmA',1795435695371);
INSERT INTO "changes" VALUES(2,'signing_key','z8AOk15CWtY1rQ11WC8molkUyvC9B8HQLtvUjzGvmZ0',1795435695711);
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
CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    challenge TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT
);
CREATE TABLE consents (
    hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE ended_sessions (
    id TEXT PRIMARY KEY,
    ended_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
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
CREATE TABLE invitations (
    hash BLOB PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE meta (
    meta_key TEXT PRIMARY KEY,
    meta_value TEXT NOT NULL
);
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
INSERT INTO "people" VALUES('usr_eqDgx5_jPQGMxlBH4AuwmA','ana','ana','ana',NULL,'[]','$argon2id$v=19$m=19456,t=2,p=1$MPu32HWb2Go1LHIlivp+ig$EBr9kbYP/V00I7ICF3QKiWUdjI7AH536Tz1vbZI2EvY',1795435695371,NULL,1795435695371);
CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    replaced_at BIGINT,
    successor BLOB
);
CREATE TABLE schema (version bigint primary key, applied_at bigint not null);
INSERT INTO "schema" VALUES(1,1795435695304);
CREATE TABLE servers (
    name TEXT PRIMARY KEY,
    entry TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    activates_at BIGINT NOT NULL,
    retires_at BIGINT NOT NULL
);
INSERT INTO "signing_keys" VALUES('z8AOk15CWtY1rQ11WC8molkUyvC9B8HQLtvUjzGvmZ0',X'0643A56295D72DBF194279314864E8C0E00997BF4BFA416A6CE728B114EFB9FC7DA681E5B321270F3499E8B14CB6AEBA45748C2F7D9D90106CF6B0FBF95C1506635496888F0280AF227F84910CE5B2250BF6769C8C280772DC017E086823D5AB9ED1A4E3F3CBFDBD44E88899A41758012776B2825B6BCAB708145DD653100388AFA766510E7B66D30300200321B15B0F6AD1D54FBD97F23B890492F4F9B92A7F90857879C739','{"crv":"P-256","kty":"EC","x":"--Dc0ikDTRTzG8RvWNdAsBt8AvAWhYbHoykqJQbg1wY","y":"jf9O4krMJlRFVYGwV3Uiih2HBDMTEbAZjOxJh2kTqmo","use":"sig","alg":"ES256","kid":"z8AOk15CWtY1rQ11WC8molkUyvC9B8HQLtvUjzGvmZ0"}',1795435695711,32503680000000);
CREATE TABLE spent (
    hash BLOB PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires ON sessions (expires_at);
CREATE INDEX clients_kind ON clients (kind, last_used_at, created_at);
CREATE INDEX consents_person ON consents (person, client);
CREATE INDEX consents_client ON consents (client);
CREATE INDEX grants_person ON grants (person);
CREATE INDEX grants_client ON grants (client);
CREATE INDEX grants_expires ON grants (expires_at);
CREATE INDEX grants_revoked ON grants (revoked_at);
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX codes_expires ON codes (expires_at);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);
CREATE INDEX spent_expires ON spent (expires_at);
CREATE INDEX ended_sessions_expires ON ended_sessions (expires_at);
CREATE INDEX changes_changed ON changes (changed_at);
CREATE INDEX audit_index_at ON audit_index (happened_at);
CREATE INDEX audit_index_person ON audit_index (person, happened_at);
CREATE INDEX audit_index_server ON audit_index (server, happened_at);
CREATE INDEX audit_index_kind ON audit_index (kind, happened_at);
CREATE INDEX audit_index_call ON audit_index (call_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',2);
COMMIT;
