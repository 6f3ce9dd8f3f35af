-- Rights and humans: calls that wait for somebody's word, words, approvals ahead, wishes for access, passkeys, limits.

-- A call that waits for humans, or waited. fold is the call with its demands, call_hash the call alone. What is run is what
-- is sealed here. Whoever runs it is node and run; it is theirs until leased_until.
CREATE TABLE approvals (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    client TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    definition BYTEA,
    classes TEXT COLLATE "C" NOT NULL,
    rule TEXT COLLATE "C" NOT NULL,
    revision TEXT COLLATE "C" NOT NULL,
    binding BYTEA NOT NULL,
    fold BYTEA NOT NULL,
    call_hash BYTEA NOT NULL,
    nonce TEXT COLLATE "C" NOT NULL,
    demands TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT COLLATE "C",
    why TEXT COLLATE "C",
    node TEXT COLLATE "C",
    run TEXT COLLATE "C",
    leased_until BIGINT,
    began_at BIGINT,
    ended_at BIGINT,
    outcome TEXT COLLATE "C"
);
-- Identical calls that wait are one.
CREATE UNIQUE INDEX approvals_one ON approvals (fold) WHERE state IN ('pending', 'granted');
CREATE INDEX approvals_waiting ON approvals (state, expires_at);
CREATE INDEX approvals_person ON approvals (person, client, asked_at);
CREATE INDEX approvals_call ON approvals (call_hash, decided_at);
CREATE INDEX approvals_target ON approvals (server, target, ended_at);

-- What somebody said of one; counts are the places of the demands that it counts for, instead_of whose word it is at some.
CREATE TABLE approval_votes (
    approval TEXT COLLATE "C" NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    word TEXT COLLATE "C" NOT NULL,
    why TEXT COLLATE "C",
    assurance TEXT COLLATE "C" NOT NULL,
    counts TEXT COLLATE "C" NOT NULL,
    instead_of TEXT COLLATE "C" NOT NULL,
    voted_at BIGINT NOT NULL,
    PRIMARY KEY (approval, person)
);
CREATE INDEX approval_votes_person ON approval_votes (person, voted_at);

-- Calls approved ahead. uses_left is null where they are not counted.
CREATE TABLE standing_grants (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    client TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    tool TEXT COLLATE "C" NOT NULL,
    definition BYTEA NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    demands TEXT COLLATE "C" NOT NULL,
    approval TEXT COLLATE "C" NOT NULL,
    given_by TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    uses_left BIGINT,
    used_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C"
);
CREATE INDEX standing_grants_person ON standing_grants (person, server, ends_at);
CREATE INDEX standing_grants_given ON standing_grants (given_by);
CREATE INDEX standing_grants_ends ON standing_grants (ends_at);

-- People who let somebody else say yes and no in their stead for a while.
CREATE TABLE delegations (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    delegate TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    why TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C"
);
CREATE INDEX delegations_person ON delegations (person, ends_at);
CREATE INDEX delegations_delegate ON delegations (delegate, ends_at);
CREATE INDEX delegations_ends ON delegations (ends_at);

-- Wishes to use a server, or one tool of it.
CREATE TABLE access_requests (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    server TEXT COLLATE "C" NOT NULL,
    classes TEXT COLLATE "C" NOT NULL,
    tool TEXT COLLATE "C",
    seconds BIGINT NOT NULL,
    why TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT COLLATE "C",
    answer TEXT COLLATE "C"
);
CREATE UNIQUE INDEX access_requests_one ON access_requests (person, server) WHERE state = 'open';
CREATE INDEX access_requests_state ON access_requests (state, expires_at);
CREATE INDEX access_requests_person ON access_requests (person, asked_at);

-- Rights to use a server that end. kind is how they were come by.
CREATE TABLE access_grants (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    server TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    classes TEXT COLLATE "C" NOT NULL,
    tool TEXT COLLATE "C",
    request TEXT COLLATE "C",
    given_by TEXT COLLATE "C" NOT NULL,
    why TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C"
);
CREATE INDEX access_grants_ends ON access_grants (ends_at);
CREATE INDEX access_grants_person ON access_grants (person, ends_at);

-- Public keys that people prove themselves with.
CREATE TABLE passkeys (
    id BYTEA PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    counter BIGINT NOT NULL,
    transports TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX passkeys_person ON passkeys (person, made_at);

-- What was taken of a limit by those whom it is counted for, as the law keeps it.
CREATE TABLE quota_windows (
    quota TEXT COLLATE "C" PRIMARY KEY,
    counter TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX quota_windows_ends ON quota_windows (ends_at);

-- What calls under way have taken of it. Once sent, it is used whatever comes.
CREATE TABLE quota_holds (
    call_id TEXT COLLATE "C" NOT NULL,
    quota TEXT COLLATE "C" NOT NULL,
    reservation TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    leased_until BIGINT NOT NULL,
    sent_at BIGINT,
    PRIMARY KEY (call_id, quota)
);
CREATE INDEX quota_holds_leased ON quota_holds (leased_until);
CREATE INDEX quota_holds_run ON quota_holds (node, run);

-- What rules call that which a person does through a client, until when. Issuers of others name people who are not ours.
CREATE TABLE session_labels (
    person TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT NOT NULL,
    PRIMARY KEY (person, client, label)
);
CREATE INDEX session_labels_ends ON session_labels (ends_at);
