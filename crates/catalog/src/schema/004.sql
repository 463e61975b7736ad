-- Format 4: the ledger. Who changed what, from look to look at the tree.

-- On whose behalf something was changed. Open while ended_at is null; after that it stays as it is.
CREATE TABLE changes (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  change_id     TEXT    NOT NULL UNIQUE,
  workflow_id   TEXT,
  phase_id      TEXT,
  task_id       TEXT,
  agent_id      TEXT,
  session_id    TEXT,
  tool_call_id  TEXT,
  actor         TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  confidence    REAL    NOT NULL CHECK (confidence BETWEEN 0 AND 1),
  candidates    TEXT    NOT NULL,
  started_at    INTEGER NOT NULL,
  ended_at      INTEGER,
  note          TEXT,
  recovery_id   TEXT,
  declared      TEXT    NOT NULL,
  parent        INTEGER REFERENCES changes
) STRICT;

CREATE INDEX open_changes ON changes (seq) WHERE ended_at IS NULL;
CREATE INDEX changes_of_workflows ON changes (workflow_id, seq);
CREATE UNIQUE INDEX changes_of_recoveries ON changes (recovery_id) WHERE recovery_id IS NOT NULL;

CREATE TRIGGER changes_stay BEFORE UPDATE ON changes WHEN old.ended_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a change that has ended stays as it is'); END;

-- The looks. The tree is what was seen then, where it was stored whole: what a later look is compared with is the newest
-- of these and the segments since.
CREATE TABLE points (
  seq            INTEGER PRIMARY KEY AUTOINCREMENT,
  at             INTEGER NOT NULL,
  tree           BLOB    CHECK (length(tree) = 32),
  checkpoint_id  TEXT
) STRICT;

CREATE INDEX whole_points ON points (seq) WHERE tree IS NOT NULL;
CREATE INDEX points_of_checkpoints ON points (checkpoint_id) WHERE checkpoint_id IS NOT NULL;

-- Paths, each once. The key finds a path; where the store is encrypted it is a tag, and sealed is the path itself.
CREATE TABLE paths (
  path_id  INTEGER PRIMARY KEY,
  key      BLOB    NOT NULL UNIQUE,
  sealed   BLOB
) STRICT;

-- What was found at a path at a point, and whose it is. No bytes: nothing is there. A null before: as the path's last
-- segment left it. A replayed one is a recovery's, and by definition what replaying the live changes gave then.
CREATE TABLE segments (
  path_id   INTEGER NOT NULL REFERENCES paths,
  point     INTEGER NOT NULL REFERENCES points,
  change    INTEGER NOT NULL REFERENCES changes,
  replayed  INTEGER NOT NULL CHECK (replayed IN (0, 1)),
  before    BLOB,
  after     BLOB    NOT NULL,
  PRIMARY KEY (path_id, point)
) STRICT, WITHOUT ROWID;

CREATE INDEX segments_of_points ON segments (point);
CREATE INDEX segments_of_changes ON segments (change);

-- Which changes are taken back where, and which are brought back: the newest word on a path and a change counts.
CREATE TABLE cancellations (
  path_id    INTEGER NOT NULL REFERENCES paths,
  change     INTEGER NOT NULL REFERENCES changes,
  by_change  INTEGER NOT NULL REFERENCES changes,
  cancelled  INTEGER NOT NULL CHECK (cancelled IN (0, 1)),
  PRIMARY KEY (path_id, change, by_change)
) STRICT, WITHOUT ROWID;

-- Objects that hold the ledger up to a point, in their order: what a rebuild reads. They outlive their checkpoints.
CREATE TABLE ledger_seals (
  object      BLOB    PRIMARY KEY NOT NULL CHECK (length(object) = 32),
  upto_point  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
