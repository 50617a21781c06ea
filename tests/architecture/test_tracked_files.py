"""What no file of the repository may contain. Patterns are in pieces, so that this one passes."""

import io
import re
import tokenize
from pathlib import Path

import pytest

#: A package registry belongs to the machine's settings: who clones elsewhere has another.
HOSTS = [
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "registry" + r"\.(?:npmjs\.org|yarnpkg\.com)",
    "repo1?" + r"\.maven\.(?:apache\.)?org",
    "central\\." + r"sonatype\.(?:org|com)",
    "(?:static\\.|index\\.)?crates" + r"\.io",
    "proxy\\." + r"golang\.org",
    "ruby" + r"gems\.org",
    "(?:repo|conda)\\." + r"anaconda\.(?:com|org)",
]
HOST = re.compile("|".join(HOSTS), re.IGNORECASE)
DEVELOPERS_PATH = re.compile(
    r"(?<![\w.~$}/-])/(?:" + "home|" + r"Users)/(?!app\b|nonroot\b)[A-Za-z][\w.-]*"
    r"|(?<![\w.~$}/-])/" + r"work/\w"
    r"|(?<![\w.~$}/-])/" + r"root/[\w.]"
    r"|\b[A-Z]:\\\\?" + r"Users\\"
)
INDEX_OPTION = re.compile(
    r"^\s*--?(?:index-url|extra-index-url|find-links|trusted-host|i)\b|://", re.MULTILINE
)
FORBIDDEN_NAMES = frozenset({"utils", "util", "common", "misc", "base", "manager", "helpers"})
DIRECTIVE = re.compile(
    r"#\s*(?:ruff:\s*|flake8:\s*)?noqa\b(?::?\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?"
    r"|#\s*type:\s*ignore(?:\[[\w,\s-]*\])?"
)
BARE_DIRECTIVE = re.compile(r"#\s*noqa\b(?!:\s*[A-Z]+\d)|#\s*type:\s*ignore(?!\[)")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")


def matches(repository, pattern):
    return [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found.group()}"
        for name, text in repository.texts()
        for found in pattern.finditer(text)
    ]


def test_no_file_names_a_package_registry(repository):
    assert matches(repository, HOST) == []


@pytest.mark.parametrize(
    "line",
    [
        "index = https://" + "pypi" + ".org/simple",
        "url = https://files." + "python" + "hosted" + ".org/x",
        "mirror: https://" + "repo1" + ".maven.org/maven2",
        "npm: https://" + "registry" + ".npmjs.org",
    ],
)
def test_a_package_registry_is_found(planted, line):
    assert len(matches(planted({"docs/a.md": f"fine\n{line}\n"}), HOST)) == 1


def test_no_file_names_a_path_of_a_developers_machine(repository):
    assert matches(repository, DEVELOPERS_PATH) == []


def test_no_file_names_the_place_of_this_checkout(repository):
    root = str(repository.root)
    if root.count("/") < 2:
        pytest.fail("the checkout lies directly under the root, where its path is any word")
    # Followed by another letter it would be a longer name.
    assert matches(repository, re.compile(re.escape(root) + r"(?![\w-])")) == []


@pytest.mark.parametrize(
    ("line", "is_a_fault"),
    [
        ("path = " + "/home" + "/jo/passferry", True),
        ("path = '" + "/Users" + "/jo/passferry'", True),
        ("see " + "/work" + "/main/docs", True),
        ("cp " + "/root" + "/.cache/x .", True),
        ("WORKDIR /home/app", False),
        ("url: /api/v1/work/1", False),
        ("https://example.org/home/jo", False),
        ("$HOME/work/x", False),
    ],
)
def test_a_developers_path_is_told_from_others(planted, line, is_a_fault):
    assert bool(matches(planted({"a.txt": line}), DEVELOPERS_PATH)) == is_a_fault


def requirements_with_options(repository):
    return [
        name
        for name, text in repository.texts(".txt", ".in")
        if Path(name).parts[0] == "requirements" and INDEX_OPTION.search(text)
    ]


def test_requirement_files_hold_no_address_and_no_index_option(repository):
    assert requirements_with_options(repository) == []


def test_an_index_option_in_a_requirement_file_is_found(planted):
    planted_files = {
        "requirements/a.txt": "--extra-index-url x\n",
        "requirements/b.in": "x @ https://example.org/x.whl\n",
        "requirements/c.txt": "-c runtime.txt\nx==1 --hash=sha256:00\n",
    }
    found = requirements_with_options(planted(planted_files))
    assert found == ["requirements/a.txt", "requirements/b.in"]


def vaguely_named(repository):
    return [
        repository.name_of(path)
        for path in repository.files(".py")
        if FORBIDDEN_NAMES.intersection(
            part.removesuffix(".py").strip("_") for part in path.relative_to(repository.root).parts
        )
    ]


def test_no_module_has_a_name_that_says_nothing(repository):
    assert vaguely_named(repository) == []


def test_a_module_name_that_says_nothing_is_found(planted):
    files = {"libs/x/utils.py": "", "libs/base/y.py": "", "libs/x/_common.py": "", "libs/z.py": ""}
    assert len(vaguely_named(planted(files))) == 3


def comments_of(source):
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    except tokenize.TokenError:
        pytest.fail("a Python file does not tokenize")


def unreasoned_suppressions(repository):
    faults = []
    for name, source in repository.texts(".py", ".pyi"):
        for line, comment in comments_of(source):
            if not DIRECTIVE.search(comment):
                continue
            reason = DIRECTIVE.sub("", comment)
            if BARE_DIRECTIVE.search(comment) or not re.search(r"[A-Za-z]{3,}", reason):
                faults.append(f"{name}:{line}: {comment}")
    return faults


def test_every_suppression_names_its_rule_and_its_reason(repository):
    assert unreasoned_suppressions(repository) == []


def test_a_suppression_without_rule_or_reason_is_found(planted):
    no_qa, ignore = "# no" + "qa", "# type" + ": ignore"
    source = (
        f"a = 1  {no_qa}\n"
        f"b = 1  {no_qa}: S101\n"
        f"c = 1  {ignore}[misc]\n"
        f"d = 1  {ignore}  # the library has no types\n"
        f"e = 1  {no_qa}: S101  # a test of tests\n"
        f"f = 1  {ignore}[misc]  # the library has no types\n"
        f"g = '{no_qa}'\n"
    )
    lines = [fault.split(":")[1] for fault in unreasoned_suppressions(planted({"x.py": source}))]
    assert lines == ["1", "2", "3", "4"]


def broken_links(repository):
    faults = []
    for name, text in repository.texts(".md"):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        for target in LINK.findall(prose):
            path, _, _ = target.partition("#")
            if not path or re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            place = repository.root if path.startswith("/") else (repository.root / name).parent
            if not (place / path.lstrip("/")).exists():
                faults.append(f"{name}: {target}")
    return faults


def test_links_between_documents_lead_to_files(repository):
    assert broken_links(repository) == []


def test_a_link_that_leads_nowhere_is_found(planted):
    text = (
        "[a](b.md) [c](missing.md) [d](https://example.org/x) [e](#here) [f](../README.md#top)\n"
        '![g](gone.png "title") `[code](no.md)`\n```\n[block](no.md)\n```\n'
    )
    files = {"docs/a.md": text, "docs/b.md": "", "README.md": ""}
    assert broken_links(planted(files)) == ["docs/a.md: missing.md", "docs/a.md: gone.png"]
