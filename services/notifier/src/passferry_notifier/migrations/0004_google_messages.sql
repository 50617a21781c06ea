-- Which template a class belongs to: a message for all who have its passes goes to each of them.
ALTER TABLE google_class ADD COLUMN template_id uuid;
UPDATE google_class SET template_id = substring(class_id FROM
    '^[0-9]+\.[0-9a-f-]{36}-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})')::uuid;
CREATE INDEX google_class_by_template ON google_class (workspace_id, template_id);

-- Messages on their way to Google, once per message and subject: a pass, or a template. What they say
-- is kept until they ended.
CREATE TABLE google_message (
    workspace_id    uuid NOT NULL,
    subject_id      uuid NOT NULL,
    message_id      text NOT NULL,
    is_for_class    boolean NOT NULL,
    delivery_id     uuid NOT NULL,
    header          text,
    body            text,
    is_notifying    boolean NOT NULL,
    state           text NOT NULL CHECK (state IN ('pending', 'delivered', 'dropped', 'failed')),
    is_silent       boolean NOT NULL DEFAULT false,
    attempts        integer NOT NULL DEFAULT 0,
    -- Of a pending one; also the lease of whoever took it.
    next_attempt_at timestamptz NOT NULL,
    reason          text,
    caused_at       timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    completed_at    timestamptz,
    traceparent     text,
    PRIMARY KEY (workspace_id, subject_id, message_id),
    CHECK ((state = 'pending') = (body IS NOT NULL))
);
CREATE UNIQUE INDEX google_message_by_delivery ON google_message (workspace_id, delivery_id);
CREATE INDEX google_message_due ON google_message (workspace_id, next_attempt_at)
    WHERE state = 'pending';
CREATE INDEX google_message_completed ON google_message (workspace_id, completed_at)
    WHERE state <> 'pending';
SELECT isolate_by_workspace('google_message');
