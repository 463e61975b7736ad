-- Format 1. Times are nanoseconds since 1970-01-01 UTC; digests are 32 raw bytes; sizes are bytes.

CREATE TABLE vault (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  vault_id    TEXT    NOT NULL,
  workspace   BLOB    NOT NULL,
  created_at  INTEGER NOT NULL,
  encrypted   INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
  generation  INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
  fencing     INTEGER NOT NULL DEFAULT 0 CHECK (fencing >= 0)
) STRICT;

-- A pack is live until it has a generation of its tombstone.
CREATE TABLE packs (
  pack_id                TEXT    PRIMARY KEY NOT NULL,
  committed_len          INTEGER NOT NULL CHECK (committed_len >= 0),
  tombstoned_generation  INTEGER CHECK (tombstoned_generation > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE workflows (
  workflow_id    TEXT    PRIMARY KEY NOT NULL,
  registered_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows are never removed: a deleted checkpoint keeps its manifest's digest, and the chain its links.
-- Tags are a JSON array in the order given; checkpoint_tags has the same ones for searching.
CREATE TABLE checkpoints (
  seq              INTEGER PRIMARY KEY AUTOINCREMENT,
  checkpoint_id    TEXT    NOT NULL UNIQUE,
  workflow_id      TEXT    NOT NULL REFERENCES workflows,
  name             TEXT    NOT NULL,
  checkpoint_type  TEXT    NOT NULL,
  trigger_kind     TEXT    NOT NULL,
  created_at       INTEGER NOT NULL,
  phase_id         INTEGER,
  phase_name       TEXT,
  tree             BLOB    CHECK (length(tree) = 32),
  hard_links       BLOB    CHECK (length(hard_links) = 32),
  coverage         BLOB    CHECK (length(coverage) = 32),
  manifest         BLOB    NOT NULL CHECK (length(manifest) = 32),
  predecessor      TEXT,
  tags             TEXT    NOT NULL,
  retention        TEXT,
  complete         INTEGER NOT NULL CHECK (complete IN (0, 1)),
  has_files        INTEGER NOT NULL CHECK (has_files IN (0, 1)),
  verification     TEXT    NOT NULL,
  verified_at      INTEGER,
  total            INTEGER NOT NULL CHECK (total >= 0),
  directories      INTEGER NOT NULL CHECK (directories >= 0),
  bytes            INTEGER NOT NULL CHECK (bytes >= 0),
  added            INTEGER NOT NULL CHECK (added >= 0),
  changed          INTEGER NOT NULL CHECK (changed >= 0),
  removed          INTEGER NOT NULL CHECK (removed >= 0),
  size_bytes       INTEGER NOT NULL CHECK (size_bytes >= 0),
  recovered        INTEGER NOT NULL CHECK (recovered IN (0, 1)),
  head_tag         BLOB,
  deleted_at       INTEGER
) STRICT;

CREATE UNIQUE INDEX checkpoint_names ON checkpoints (name, workflow_id) WHERE deleted_at IS NULL;
CREATE INDEX checkpoints_of_workflow ON checkpoints (workflow_id) WHERE deleted_at IS NULL;
CREATE INDEX increments_of_workflow ON checkpoints (workflow_id) WHERE checkpoint_type = 'incremental';

CREATE TABLE checkpoint_tags (
  tag  TEXT    NOT NULL,
  seq  INTEGER NOT NULL REFERENCES checkpoints,
  PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

-- The target and the safety checkpoint are no foreign keys: after a rebuild they may be gone for good.
CREATE TABLE recoveries (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  recovery_id  TEXT    NOT NULL UNIQUE,
  kind         TEXT    NOT NULL,
  workflow_id  TEXT    NOT NULL REFERENCES workflows,
  target       TEXT    NOT NULL,
  safety       TEXT,
  status       TEXT    NOT NULL,
  actor        TEXT    NOT NULL,
  parameters   TEXT    NOT NULL,
  undoes       TEXT,
  undone_by    TEXT,
  started_at   INTEGER NOT NULL,
  ended_at     INTEGER,
  report       TEXT
) STRICT;

CREATE INDEX recoveries_unfinished ON recoveries (seq) WHERE status = 'started';
CREATE INDEX recoveries_undoable ON recoveries (seq) WHERE status IN ('done', 'partial') AND undone_by IS NULL;

CREATE TABLE holds (
  hold_key     TEXT    PRIMARY KEY NOT NULL,
  token        INTEGER NOT NULL,
  pid          INTEGER NOT NULL,
  start_ticks  INTEGER NOT NULL,
  boot_id      TEXT    NOT NULL,
  label        TEXT    NOT NULL,
  acquired_at  INTEGER NOT NULL,
  expires_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE operations (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  operation_id  TEXT    NOT NULL UNIQUE,
  operation     TEXT    NOT NULL,
  actor         TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  workflow_id   TEXT,
  parameters    TEXT    NOT NULL,
  inverse       TEXT,
  result        TEXT    NOT NULL
) STRICT;

-- What was recorded stays as it was recorded, whoever opens the file.
CREATE TRIGGER operations_stay BEFORE UPDATE ON operations
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER operations_remain BEFORE DELETE ON operations
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER checkpoints_remain BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are marked deleted, never removed'); END;
