-- Format 7: marks of imports.

-- Objects that say which checkpoints an import brought and where the events are that came with them: what a rebuild reads.
-- They outlive these checkpoints.
CREATE TABLE imports (
  object  BLOB  PRIMARY KEY NOT NULL CHECK (length(object) = 32)
) STRICT, WITHOUT ROWID;
