-- The index of the journals in buckets: what makes a row cheap does not depend on how many there are already.

-- The newest lines of each journal, as they came. As soon as there are enough of them they become a bucket.
CREATE TABLE audit_open (
    node TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    happened_at BIGINT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (node, seq)
);
CREATE INDEX audit_open_at ON audit_open (happened_at);
INSERT INTO audit_open (node, seq, happened_at, line) SELECT node, seq, happened_at, line FROM audit_index;
DROP TABLE audit_index;

-- A place in a journal is the number of its line, wherever the line has moved to.
ALTER TABLE audit_cursors DROP COLUMN segment;
ALTER TABLE audit_cursors DROP COLUMN segment_bytes;

-- Lines of one journal that follow each other. times: seq and moment of each. forgotten_at: it counts no more and goes soon.
CREATE TABLE audit_buckets (
    bucket BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node TEXT COLLATE "C" NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    times BYTEA NOT NULL,
    forgotten_at BIGINT
);
CREATE INDEX audit_buckets_last ON audit_buckets (last_at);

-- The lines, some at a time.
CREATE TABLE audit_chunks (
    bucket BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    lines BYTEA NOT NULL,
    PRIMARY KEY (bucket, chunk)
);

-- Compressed already.
ALTER TABLE audit_chunks ALTER COLUMN lines SET STORAGE EXTERNAL;

-- Where in the bucket a value stands (a person, a tool, an outcome), or a slice of all calls, requests, traces, approvals,
-- grants and tokens with their places.
CREATE TABLE audit_places (
    bucket BIGINT NOT NULL,
    term BIGINT NOT NULL,
    places BYTEA NOT NULL,
    PRIMARY KEY (bucket, term)
);

-- Names that stand in buckets, to look for a part of one.
CREATE TABLE audit_names (
    term BIGINT PRIMARY KEY,
    field TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    folded TEXT COLLATE "C" NOT NULL,
    last_at BIGINT NOT NULL
);
CREATE INDEX audit_names_field ON audit_names (field);
