-- Ids of messages that earlier versions of the template had: what else the class has at Google is
-- not the template's, and stays when its list is replaced.
ALTER TABLE google_class ADD COLUMN former_message_ids text[] NOT NULL DEFAULT '{}';
