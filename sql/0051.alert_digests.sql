-- What is due to a channel all at once goes out as one message: its rows share an id.
-- depends: 0050.trends_of_artists

ALTER TABLE alert_outbox ADD COLUMN digest uuid; -- id of the message that tells of the row among others; null: of its own
CREATE INDEX alert_outbox_digest ON alert_outbox (digest, id) WHERE state = 'pending' AND digest IS NOT NULL;
