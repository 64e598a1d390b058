-- Topics that are kept say whether they are durable, and how many bytes of events they keep. None is as configured.

ALTER TABLE topics ADD COLUMN durable BIGINT;
ALTER TABLE topics ADD COLUMN history_topic_bytes BIGINT;
