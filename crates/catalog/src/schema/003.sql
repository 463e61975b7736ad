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

-- Coordination. The log of events is itself the outbox of events; messages stand beside it, and each goes out when the
-- events up to after_event did. What a message answers is the request's id, with the request as it was asked.
CREATE TABLE messages (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id   TEXT    NOT NULL UNIQUE,
  after_event  INTEGER NOT NULL,
  kind         TEXT    NOT NULL,
  answers      TEXT,
  asked        TEXT,
  body         TEXT    NOT NULL,
  at           INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX answers_of_requests ON messages (answers) WHERE answers IS NOT NULL;

CREATE TRIGGER messages_stay BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'messages are append-only'); END;

-- How far each sink has come in both, and how it stands with the next item.
CREATE TABLE subscriptions (
  name           TEXT    PRIMARY KEY NOT NULL,
  events_upto    INTEGER NOT NULL,
  messages_upto  INTEGER NOT NULL,
  attempts       INTEGER NOT NULL DEFAULT 0,
  next_try_at    INTEGER,
  last_error     TEXT,
  updated_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Items that were put aside after their last attempt; queued ones are to be tried again.
CREATE TABLE dead_letters (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription  TEXT    NOT NULL,
  item          TEXT    NOT NULL,
  body          TEXT    NOT NULL,
  attempts      INTEGER NOT NULL,
  error         TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  queued        INTEGER NOT NULL DEFAULT 0 CHECK (queued IN (0, 1))
) STRICT;

CREATE INDEX dead_letters_of ON dead_letters (subscription, queued, seq);

-- Holds of components, which no process stands for; why one is held, and how much it matters.
ALTER TABLE holds ADD COLUMN component TEXT;
ALTER TABLE holds ADD COLUMN reason TEXT;
ALTER TABLE holds ADD COLUMN priority INTEGER NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 100);
-- Failures that were reported, to list them and to look them up. Derived: the event of seq has the whole report.
CREATE TABLE failures (
  failure_id   TEXT    PRIMARY KEY NOT NULL,
  seq          INTEGER NOT NULL REFERENCES events,
  workflow_id  TEXT    REFERENCES workflows,
  category     TEXT,
  severity     TEXT,
  type         TEXT,
  scope        TEXT,
  message      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX failures_of_workflow ON failures (workflow_id, seq);
CREATE INDEX failures_of_event ON failures (seq);

-- Tasks that somebody who follows a workflow wants to see first, however many others there are.
CREATE INDEX active_tasks ON parts (workflow_id)
  WHERE kind = 'task' AND CASE WHEN json_valid(doc) THEN doc ->> '$.status' END = 'active';
CREATE INDEX failed_tasks ON parts (workflow_id)
  WHERE kind = 'task' AND CASE WHEN json_valid(doc) THEN doc ->> '$.status' END = 'failed';
