-- Format 5: what changes built on, and finding the changes of one agent.

-- Who read what. The point is that of the look with which it was told: whatever was written by then may have been read.
CREATE TABLE reads (
  path_id  INTEGER NOT NULL REFERENCES paths,
  change   INTEGER NOT NULL REFERENCES changes,
  point    INTEGER NOT NULL REFERENCES points,
  PRIMARY KEY (path_id, change)
) STRICT, WITHOUT ROWID;

CREATE INDEX reads_of_points ON reads (point);
CREATE INDEX changes_of_agents ON changes (agent_id, seq) WHERE agent_id IS NOT NULL;
CREATE INDEX changes_by_end ON changes (ended_at);
