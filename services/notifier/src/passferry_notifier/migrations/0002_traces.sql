-- W3C trace context of the event that caused a delivery: one trace from there to the push.
ALTER TABLE delivery ADD COLUMN traceparent text;
