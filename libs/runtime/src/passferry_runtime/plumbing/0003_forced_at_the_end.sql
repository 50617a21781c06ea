-- A migration whose role is neither superuser nor past row-level security sees all rows while it
-- runs; `passferry.sees_all_rows` says so, and the tables are forced when it has ended. Tables that
-- it makes itself are forced then too.
CREATE FUNCTION force_row_security(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
    IF coalesce(current_setting('passferry.sees_all_rows', true), '') <> 'on' THEN
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION isolate_by_workspace(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM force_row_security(table_name);
    EXECUTE format(
        'CREATE POLICY workspace_isolation ON %I'
        ' USING (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))'
        ' WITH CHECK (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))',
        table_name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, app_role());
END $$;

CREATE OR REPLACE FUNCTION grant_shared(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM force_row_security(table_name);
    EXECUTE format('CREATE POLICY shared ON %I USING (true) WITH CHECK (true)', table_name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, app_role());
END $$;

CREATE OR REPLACE FUNCTION reserve_for_plumbing(table_name text, app_may_insert boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM force_row_security(table_name);
    EXECUTE format('CREATE POLICY plumbing ON %I TO %I USING (true) WITH CHECK (true)',
                   table_name, plumbing_role());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, plumbing_role());
    IF app_may_insert THEN
        EXECUTE format(
            'CREATE POLICY workspace_insert ON %I FOR INSERT TO %I'
            ' WITH CHECK (workspace_id = ANY (nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[]))',
            table_name, app_role());
        EXECUTE format('GRANT INSERT ON %I TO %I', table_name, app_role());
    END IF;
END $$;
