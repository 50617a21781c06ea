"""Row-level security is the floor; every statement also names the workspace itself. J70."""

import ast
import re
from pathlib import Path

ISOLATION = re.compile(r"isolate_(?:by_workspace|append_only)\(\s*'([a-z_0-9]+)'")
STATEMENT = re.compile(
    r"^(?:\s|--[^\n]*\n)*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|LOCK|COPY|TRUNCATE)\b",
    re.IGNORECASE,
)
TABLE_USE = r"\b(?:FROM|JOIN|INTO|UPDATE|USING|ONLY|TABLE|COPY|TRUNCATE)\s+(?:[a-z_]+\.)?{table}\b"
#: A table that is filled in may be one of workspaces.
FILLED_IN = re.compile(TABLE_USE.format(table=r"\{[a-z_]*\}").removesuffix(r"\b"), re.IGNORECASE)
MARKER = re.compile(r"--\s*all workspaces:[ \t]*\w")
#: Tables that the runtime makes in every schema.
PLUMBING = frozenset({"processed_events", "audit_log"})


def workspace_tables(repository):
    """Each service's tables that hold rows of workspaces, as its migrations declare them."""
    tables: dict[str, set[str]] = {}
    for name, text in repository.texts(".sql"):
        parts = Path(name).parts
        if parts[0] == "services" and "migrations" in parts:
            tables.setdefault(parts[1], set()).update(ISOLATION.findall(text))
    return {service: names | PLUMBING for service, names in tables.items() if names}


def statements(source):
    """The SQL texts of a module with their lines; docstrings are not SQL."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        text = _text_of(node)
        if text is not None and STATEMENT.match(text):
            yield node.lineno, text


def _text_of(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        # A column list in a placeholder does not scope a statement: conditions stand in the text.
        return "".join(_text_of(part) or " {} " for part in node.values)
    return None


def unscoped_statements(repository):
    faults = []
    tables = workspace_tables(repository)
    for name, source in repository.texts(".py"):
        parts = Path(name).parts
        if parts[0] != "services" or "src" not in parts or parts[1] not in tables:
            continue
        for line, text in statements(source):
            used = sorted(
                table
                for table in tables[parts[1]]
                if re.search(TABLE_USE.format(table=table), text, re.IGNORECASE)
            )
            if FILLED_IN.search(text):
                used.append("a table that is filled in")
            if used and "workspace_id" not in text and not MARKER.search(text):
                faults.append(f"{name}:{line}: {', '.join(used)} without workspace_id")
    return faults


def test_every_statement_on_a_workspaces_table_names_the_workspace(repository):
    assert unscoped_statements(repository) == []


def test_every_service_declares_its_workspace_tables(repository):
    tables = workspace_tables(repository)
    services = [path.parts[-3] for path in repository.root.glob("services/*/src/passferry_*")]
    assert sorted(tables) == sorted(set(services)), "a service without isolated tables"


MIGRATION = {
    "services/ledger/src/passferry_ledger/migrations/0001_accounts.sql": (
        "CREATE TABLE account (workspace_id uuid);\n"
        "SELECT isolate_by_workspace('account');\n"
        "SELECT isolate_append_only('entry');\n"
        "CREATE TABLE setting (name text);\n"
    )
}
ADAPTER = "services/ledger/src/passferry_ledger/adapters/postgres_ledger.py"


def faults_of(planted, source):
    return unscoped_statements(planted({**MIGRATION, ADAPTER: source}))


def test_a_statement_that_forgets_the_workspace_is_found(planted):
    source = 'READ = """\nSELECT balance FROM account WHERE pass_id = $1\n"""\n'
    assert faults_of(planted, source) == [f"{ADAPTER}:1: account without workspace_id"]


def test_a_join_an_update_and_a_write_to_an_append_only_table_are_found(planted):
    source = (
        'A = "SELECT 1 FROM setting JOIN ledger.account USING (id)"\n'
        'B = "UPDATE account SET balance = 0"\n'
        'C = "INSERT INTO entry (id) VALUES ($1)"\n'
        'D = f"WITH x AS (SELECT {B} FROM account) SELECT * FROM x"\n'
        'E = "-- why\\nDELETE FROM processed_events WHERE true"\n'
    )
    lines = [fault.split(":")[1] for fault in faults_of(planted, source)]
    assert lines == ["1", "2", "3", "4", "5"]


def test_a_table_that_is_filled_in_may_be_one_of_workspaces(planted):
    source = (
        'A = "DELETE FROM {table} AS old WHERE id = $1"\n'
        'B = "DELETE FROM {table} WHERE workspace_id = $1"\n'
        'C = f"UPDATE {name} SET x = 1"\n'
    )
    assert [fault.split(":")[1] for fault in faults_of(planted, source)] == ["1", "3"]


def test_scoped_marked_and_unrelated_statements_pass(planted):
    source = (
        '"""Select from account what you like."""\n'
        'A = "SELECT 1 FROM account WHERE workspace_id = $1"\n'
        'B = "-- all workspaces: the health check counts them\\nSELECT count(*) FROM account"\n'
        'C = "SELECT 1 FROM setting"\n'
        'D = "from account"\n'
        'E = "SELECT 1 FROM accounting"\n'
    )
    assert faults_of(planted, source) == []


def test_a_marker_without_a_reason_does_not_help(planted):
    source = 'A = "-- all workspaces:\\n"\nB = "-- all workspaces: \\nSELECT 1 FROM account"\n'
    assert len(faults_of(planted, source)) == 1
