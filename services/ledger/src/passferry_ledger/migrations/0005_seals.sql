-- Seals over entries, made long after they were written: no entry waits for a hash.
CREATE TABLE seal (
    workspace_id  uuid NOT NULL,
    number        bigint NOT NULL CHECK (number > 0),
    entries       integer NOT NULL CHECK (entries > 0),
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    sealed_at     timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, number)
);
SELECT isolate_append_only('seal');

-- Which entries a seal is over, so that an entry that was committed late is sealed late, not never.
CREATE TABLE sealed_entry (
    entry_id     uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    number       bigint NOT NULL,
    place        integer NOT NULL
);
CREATE UNIQUE INDEX sealed_entry_place ON sealed_entry (workspace_id, number, place);
SELECT isolate_append_only('sealed_entry');

-- Where the sealer of a workspace goes on looking: everything older is sealed.
CREATE TABLE sealing_progress (
    workspace_id uuid PRIMARY KEY,
    sealed_until timestamptz NOT NULL
);
SELECT isolate_by_workspace('sealing_progress');
