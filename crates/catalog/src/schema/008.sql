-- Format 8: what is known of a command that was run as a change: how it ended, what it used, and since when not all that it did was
-- seen. JSON; null where the change is no command, or is not over.
ALTER TABLE changes ADD COLUMN evidence TEXT;
