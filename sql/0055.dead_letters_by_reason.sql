-- Dead letters of a week are counted by reason from the index alone, without their wide rows. It also finds those of a time,
-- as the one of the time alone did, so a day is written with no more indexes than before.
-- depends: 0054.feedback_by_kind

DROP INDEX dead_letters_by_time;
CREATE INDEX dead_letters_by_time_and_reason ON dead_letters (seen_at, reason);
