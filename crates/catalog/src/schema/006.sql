-- Format 6: what was asked of a recovery and what became of it name files, and are sealed where the store is encrypted: then the
-- sealed bytes stand here, parameters is the JSON null, and report is null. Rows of before stay as they are.

ALTER TABLE recoveries ADD COLUMN sealed_parameters BLOB;
ALTER TABLE recoveries ADD COLUMN sealed_report BLOB;

-- What is looked for without opening them: why one was made that nobody asked for, and how many steps ended as planned.
ALTER TABLE recoveries ADD COLUMN because TEXT;
ALTER TABLE recoveries ADD COLUMN steps INTEGER CHECK (steps >= 0);

UPDATE recoveries SET
  because = CASE WHEN json_valid(parameters) THEN parameters ->> '$.because' END,
  steps = CASE WHEN json_valid(report) THEN json_array_length(report, '$.changed') END;
