"""The ledger counts in whole numbers: no type, literal, division or column says otherwise.

Seconds may have fractions: where a name ends in `_s`. The columns of all services are in
`test_money_types`.
"""

import ast
import inspect
import pkgutil
import re
from importlib import import_module

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import passferry_contracts.events
from passferry_contracts import program_rules

# proves: A22

LEDGER = "services/ledger/src/"
#: Files that may say more, and why.
EXEMPT = {
    "services/ledger/src/passferry_ledger/metrics.py": "the bounds of a histogram of seconds",
}
FRACTIONAL_NAMES = frozenset({"float", "complex", "Decimal", "Fraction", "decimal", "fractions"})
FRACTIONAL_SQL = re.compile(
    r"\b(?:double\s+precision|real|float[48]?|numeric|decimal|money)\b|\b\d+\.\d+\b", re.IGNORECASE
)
SECONDS = re.compile(r"_s$", re.IGNORECASE)


def name_of(node):
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.arg(arg=name) | ast.keyword(arg=str(name)):
            return name
    return ""


def is_fractional(node):
    match node:
        case ast.Constant(value=float() | complex()):
            return True
        case ast.Name(id=name) | ast.alias(name=name):
            return name in FRACTIONAL_NAMES
        case ast.ImportFrom(module=name):
            return name in FRACTIONAL_NAMES
        # True division makes a float of two whole numbers.
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return True
    return False


def fractions_in(tree):
    """Lines on which a fraction may arise, but for those that are about seconds."""
    if SECONDS.search(name_of(tree)):
        return
    if is_fractional(tree):
        yield getattr(tree, "lineno", 0)
    for child in ast.iter_child_nodes(tree):
        yield from fractions_in(child)


def fractions_of_code(repository):
    return [
        f"{name}:{line}"
        for name, text in repository.texts(".py")
        if name.startswith(LEDGER) and name not in EXEMPT
        for line in fractions_in(ast.parse(text))
    ]


def sql_of(name, text):
    """What is SQL in it: all of a migration, the longer texts of a module."""
    if name.endswith(".sql"):
        yield re.sub(r"--.*|'(?:[^']|'')*'", "", text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = node.value
            if re.search(r"^\s*(?:SELECT|INSERT|UPDATE|WITH|CREATE)\b", said):
                yield said


def fractions_of_sql(repository):
    return [
        f"{name}: {found.group()}"
        for name, text in repository.texts(".py", ".sql")
        if name.startswith(LEDGER)
        for sql in sql_of(name, text)
        if (found := FRACTIONAL_SQL.search(sql))
    ]


def models_in(module):
    return [
        model
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, BaseModel) and model.__module__ == module.__name__
    ]


def amounts():
    """Every field of the contracts that is an amount."""
    package = passferry_contracts.events
    modules = [
        import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    for module in (*modules, program_rules):
        for model in models_in(module):
            for name, field in model.model_fields.items():
                if name.endswith("_minor"):
                    yield pytest.param(field, id=f"{model.__name__}.{name}")


def test_the_ledger_has_no_type_literal_or_division_with_fractions(repository):
    assert fractions_of_code(repository) == []


def test_the_ledger_has_no_sql_with_fractions(repository):
    assert fractions_of_sql(repository) == []


def test_every_exempt_file_is_there(repository):
    assert set(EXEMPT) <= {name for name, _ in repository.texts(".py")}


@pytest.mark.parametrize("field", list(amounts()))
@pytest.mark.parametrize("value", [1.0, 0.1, "1", "0.1", True, 2**63])
def test_an_amount_is_a_whole_number_of_64_bits(field, value):
    adapter = TypeAdapter(field.rebuild_annotation())
    assert adapter.validate_python(1) == 1
    with pytest.raises(ValidationError):
        adapter.validate_python(value)


def test_there_are_amounts_to_look_at():
    assert len(list(amounts())) > 40


@pytest.mark.parametrize(
    "line",
    [
        "balance = 1.5",
        "def pay(amount: float) -> None: ...",
        "half = amount_minor / 2",
        "amount_minor /= 2",
        "from decimal import Decimal",
        "import fractions",
        "amount = float(text)",
        "pay(amount=0.1)",
    ],
)
def test_a_fraction_is_found(planted, line):
    name = f"{LEDGER}passferry_ledger/domain/lots.py"
    assert set(fractions_of_code(planted({name: f"{line}\n"}))) == {f"{name}:1"}


@pytest.mark.parametrize(
    "line",
    [
        "TIMEOUT_S = 1.5",
        "def wait(timeout_s: float) -> None: ...",
        "wait(timeout_s=0.5)",
        "half = amount_minor // 2",
        "interval_s: float = Field(default=5.0, ge=1.0)",
    ],
)
def test_seconds_and_whole_numbers_are_not(planted, line):
    name = f"{LEDGER}passferry_ledger/domain/lots.py"
    assert fractions_of_code(planted({name: f"{line}\n"})) == []


def test_a_fraction_in_sql_is_found(planted):
    folder = f"{LEDGER}passferry_ledger/"
    files = {
        f"{folder}adapters/postgres_x.py": 'X = """\nSELECT sum(amount_minor)::numeric FROM posting"""\n',
        f"{folder}migrations/0009_x.sql": "ALTER TABLE a ADD COLUMN b double precision;\n",
        f"{folder}migrations/0010_x.sql": "SELECT 1; -- real money, 0.5 of it\n",
    }  # fmt: skip
    assert fractions_of_sql(planted(files)) == [
        f"{folder}adapters/postgres_x.py: numeric",
        f"{folder}migrations/0009_x.sql: double precision",
    ]
