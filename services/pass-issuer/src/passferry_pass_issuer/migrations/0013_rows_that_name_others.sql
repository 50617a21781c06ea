-- What a row names is of its own workspace. A template has no row of its own, but from its
-- beginning it has a version 1, and no version is ever deleted.
ALTER TABLE program
    ADD COLUMN first_template_version integer NOT NULL DEFAULT 1 CHECK (first_template_version = 1),
    ADD FOREIGN KEY (workspace_id, template_id, first_template_version)
        REFERENCES template (workspace_id, template_id, template_version);
ALTER TABLE imported_template
    ADD COLUMN first_template_version integer NOT NULL DEFAULT 1 CHECK (first_template_version = 1),
    ADD FOREIGN KEY (workspace_id, template_id, first_template_version)
        REFERENCES template (workspace_id, template_id, template_version);
-- Counts are added to rows that are there: only the first of a day is looked up.
ALTER TABLE funnel_day
    ADD COLUMN first_template_version integer NOT NULL DEFAULT 1 CHECK (first_template_version = 1),
    ADD FOREIGN KEY (workspace_id, template_id, first_template_version)
        REFERENCES template (workspace_id, template_id, template_version);
ALTER TABLE job
    ADD FOREIGN KEY (workspace_id, program_id) REFERENCES program (workspace_id, program_id),
    ADD FOREIGN KEY (workspace_id, template_id, template_version)
        REFERENCES template (workspace_id, template_id, template_version);
-- A place in the queue goes with its job.
ALTER TABLE job_queue
    ADD FOREIGN KEY (workspace_id, job_id) REFERENCES job (workspace_id, job_id) ON DELETE CASCADE;
CREATE INDEX job_queue_by_job ON job_queue (workspace_id, job_id);
-- Of files of millions of rows, those that are there are not looked at: it would take long.
ALTER TABLE job_result
    ADD FOREIGN KEY (workspace_id, pass_id) REFERENCES pass (workspace_id, pass_id) NOT VALID;
