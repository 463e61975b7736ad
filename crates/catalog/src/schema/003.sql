-- Format 3: checkpoints carry state.

ALTER TABLE checkpoints ADD COLUMN state BLOB CHECK (length(state) = 32);

-- What changed since a workflow's last snapshot: leaves of its state by kind, with the newest event that changed them.
CREATE TABLE dirty_leaves (
  workflow_id  TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  leaf         INTEGER NOT NULL,
  seq          INTEGER NOT NULL,
  PRIMARY KEY (workflow_id, kind, leaf)
) STRICT, WITHOUT ROWID;

-- The newest snapshot of a workflow's state that a checkpoint holds: the fold up to seq.
CREATE TABLE snapshots (
  workflow_id    TEXT    PRIMARY KEY NOT NULL REFERENCES workflows,
  seq            INTEGER NOT NULL,
  state          BLOB    NOT NULL CHECK (length(state) = 32),
  checkpoint_id  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Objects that hold the events up to seq, in their order: what a rebuild reads. They outlive their checkpoints.
CREATE TABLE seals (
  object    BLOB    PRIMARY KEY NOT NULL CHECK (length(object) = 32),
  upto_seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
