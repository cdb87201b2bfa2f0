DROP INDEX dead_letters_by_time_and_reason;
CREATE INDEX dead_letters_by_time ON dead_letters (seen_at);
