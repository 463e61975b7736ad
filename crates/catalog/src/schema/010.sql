-- Format 10: a tool call is looked up at each of its two ends, however many changes its session has.
CREATE INDEX changes_of_calls ON changes (tool_call_id) WHERE tool_call_id IS NOT NULL;
