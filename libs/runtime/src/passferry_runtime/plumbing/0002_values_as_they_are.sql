-- What is in the outbox is gone a moment later: to compress it costs more than to write it, and
-- signatures and ciphertexts cannot be compressed at all. A row that fits a page stays in it.
ALTER TABLE outbox ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE outbox SET (toast_tuple_target = 8160);
