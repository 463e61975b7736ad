-- Format 2: events, and the states that they fold into.

-- Events are facts: never changed, never removed. The order is that of seq, never that of at.
CREATE TABLE events (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id     TEXT    NOT NULL UNIQUE,
  event_type   TEXT    NOT NULL,
  workflow_id  TEXT    REFERENCES workflows,
  phase        TEXT,
  at           INTEGER NOT NULL,
  recorded_at  INTEGER NOT NULL,
  source       TEXT    NOT NULL,
  data         TEXT    NOT NULL,
  priority     TEXT,
  ttl_seconds  INTEGER CHECK (ttl_seconds >= 0),
  odd          TEXT
) STRICT;

CREATE INDEX events_of_workflow ON events (workflow_id);
CREATE INDEX odd_events ON events (workflow_id) WHERE odd IS NOT NULL;

CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- The fold of a workflow's events up to seq: the head here, the parts below. Derived: it can be folded again.
CREATE TABLE states (
  workflow_id  TEXT    PRIMARY KEY NOT NULL REFERENCES workflows,
  seq          INTEGER NOT NULL,
  head         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Phases, tasks, agents, allocations. The slot is a hash of the id: parts of one slot range are stored side by side.
CREATE TABLE parts (
  workflow_id  TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  slot         INTEGER NOT NULL,
  id           TEXT    NOT NULL,
  doc          TEXT    NOT NULL,
  PRIMARY KEY (workflow_id, kind, slot, id)
) STRICT, WITHOUT ROWID;
