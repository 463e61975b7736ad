-- Format 9: looks at some paths only. Whatever was changed later than this, by its stamps, a look at all of the tree may not have
-- seen: nanoseconds; null where it looked at some paths only, or where it is not known.
ALTER TABLE points ADD COLUMN as_of INTEGER;
CREATE INDEX looks_at_all ON points (seq) WHERE as_of IS NOT NULL;
