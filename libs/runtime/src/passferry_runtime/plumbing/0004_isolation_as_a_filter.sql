-- Each statement names its workspaces itself. Were the policy's list, whose length nobody knows, a
-- condition of the index as well, then on tables without statistics (all new ones, for a minute)
-- every index that begins with workspace_id would seem as good as the primary key, and a look-up
-- by key would read all rows of its workspace. `IS TRUE` makes the policy a filter, and no more; the
-- SELECT within has the list read once for a statement, and not for each row.
CREATE FUNCTION is_of_named_workspaces() RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '(workspace_id = ANY ((SELECT'
        ' nullif(current_setting(''app.workspace_ids'', true), '''')::uuid[])::uuid[])) IS TRUE'
$$;

CREATE OR REPLACE FUNCTION isolate_by_workspace(table_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM force_row_security(table_name);
    EXECUTE format('CREATE POLICY workspace_isolation ON %I USING (%s) WITH CHECK (%s)',
                   table_name, is_of_named_workspaces(), is_of_named_workspaces());
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', table_name, app_role());
END $$;

-- In one order, as everything else locks.
DO $$
DECLARE
    isolated text;
BEGIN
    FOR isolated IN
        SELECT tablename FROM pg_policies
        WHERE schemaname = current_schema() AND policyname = 'workspace_isolation'
        ORDER BY tablename
    LOOP
        EXECUTE format('ALTER POLICY workspace_isolation ON %I USING (%s) WITH CHECK (%s)',
                       isolated, is_of_named_workspaces(), is_of_named_workspaces());
    END LOOP;
END $$;
