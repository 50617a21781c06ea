"""Labels of metrics stay few: none names a pass, a phone, a token or an event. proves: J62"""

import ast

METRIC_TYPES = frozenset({"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"})
FORBIDDEN_LABELS = frozenset(
    {
        "pass",
        "pass_id",
        "serial",
        "serial_number",
        "device",
        "device_id",
        "device_library_identifier",
        "token",
        "push_token",
        "authentication_token",
        "event",
        "event_id",
        "holder_id",
        "external_id",
        "idempotency_key",
        "delivery_id",
        "message_id",
        "link_id",
        "trace_id",
        "offset",
        "path",
        "url",
    }
)
MOST_LABELS = 4


def name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def constants_of(tree):
    """Module-level names bound to tuples or lists of texts."""
    found = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Tuple | ast.List):
            found[target.id] = value
    return found


def label_names(call, constants):
    """The labels that a metric is declared with; None where they cannot be read."""
    given = next((each.value for each in call.keywords if each.arg == "labelnames"), None)
    if given is None and len(call.args) >= 3:
        given = call.args[2]
    if given is None:
        return []
    if isinstance(given, ast.Name):
        given = constants.get(given.id)
    if not isinstance(given, ast.Tuple | ast.List):
        return None
    names = [each.value for each in given.elts if isinstance(each, ast.Constant)]
    return names if len(names) == len(given.elts) else None


def faults_in(source):
    tree = ast.parse(source)
    constants = constants_of(tree)
    is_metrics_module = "prometheus_client" in source
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = name_of(node.func)
        if called == "labels":
            names = [each.arg for each in node.keywords if each.arg]
        elif called in METRIC_TYPES and is_metrics_module:
            names = label_names(node, constants)
        else:
            continue
        if names is None:
            yield f"{node.lineno}: labels that are not written out"
        elif forbidden := FORBIDDEN_LABELS.intersection(names):
            yield f"{node.lineno}: {', '.join(sorted(forbidden))}"
        elif len(names) > MOST_LABELS:
            yield f"{node.lineno}: more than {MOST_LABELS} labels"


def label_faults(repository):
    return [
        f"{name}:{fault}"
        for name, source in repository.texts(".py")
        if name.startswith(("libs/", "services/")) and "/src/" in name
        for fault in faults_in(source)
    ]


def test_no_metric_has_a_label_without_bound(repository):
    assert label_faults(repository) == []


def test_the_metrics_of_the_runtime_are_seen(repository):
    source = (repository.root / "libs/runtime/src/passferry_runtime/metrics.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    declared = [label_names(call, {}) for call in calls if name_of(call.func) in METRIC_TYPES]
    assert ["topic", "group", "result"] in declared


def test_a_label_without_bound_is_found(planted):
    source = (
        "import prometheus_client\n"
        "from prometheus_client import Counter, Histogram\n"
        "LABELS = ('workspace_id', 'token')\n"
        "A = Counter('a', 'A', ['workspace_id', 'pass_id'])\n"
        "B = prometheus_client.Gauge('b', 'B', labelnames=('serial_number',))\n"
        "C = Histogram('c', 'C', LABELS)\n"
        "D = Counter('d', 'D', make_labels())\n"
        "A.labels(device='x').inc()\n"
        "E = Counter('e', 'E', ['device_type', 'channel'])\n"
        "F = Counter('f', 'F')\n"
    )
    found = label_faults(planted({"services/x/src/x/metrics.py": source}))
    assert [fault.split(":")[1] for fault in found] == ["4", "5", "6", "7", "8"]
