-- What goes on, counted while the journals are indexed. Keyed by the journal's node, so that one that is indexed again is
-- counted again and the others are not.

-- hours is how long the span is: 1, and 24 when it is long over. A name of '*' stands for all that found no place any more.
CREATE TABLE insight_counts (
    hours BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    client TEXT COLLATE "C" NOT NULL,
    allowed BIGINT NOT NULL,
    asked BIGINT NOT NULL,
    denied BIGINT NOT NULL,
    stepped_up BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    timed_out BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    micros BIGINT NOT NULL,
    approvals_asked BIGINT NOT NULL,
    approvals_granted BIGINT NOT NULL,
    approvals_refused BIGINT NOT NULL,
    approvals_expired BIGINT NOT NULL,
    PRIMARY KEY (hours, began_at, node, person, server, name, client)
);

-- How long calls took: how many of a span fell into each step of the scale.
CREATE TABLE insight_latency (
    hours BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    step BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (hours, began_at, node, server, step)
);

-- When somebody first used something. what is tool, server or client; server is the tool's.
CREATE TABLE insight_firsts (
    node TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    what TEXT COLLATE "C" NOT NULL,
    server TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    first_at BIGINT NOT NULL,
    PRIMARY KEY (node, person, what, server, name)
);
CREATE INDEX insight_firsts_at ON insight_firsts (first_at);
CREATE INDEX insight_firsts_person ON insight_firsts (person, first_at);
