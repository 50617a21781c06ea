"""What a page points at is there. J106."""

import re
from pathlib import PurePosixPath

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def broken_links(repository):
    found = []
    for name, text in repository.texts(".md"):
        for target in LINK.findall(FENCE.sub("", text)):
            path = target.partition("#")[0]
            if "://" in target or target.startswith("mailto:") or not path:
                continue
            if not (repository.root / PurePosixPath(name).parent / path).exists():
                found.append(f"{name}: {target}")
    return found


def test_every_link_between_our_pages_leads_somewhere(repository):
    assert broken_links(repository) == []


def test_a_link_to_nowhere_is_found(planted):
    page = "[a](b.md) [c](https://example.org/d) [e](#f)\n```\n[code](nothing.md)\n```\n"
    assert broken_links(planted({"docs/a.md": page})) == ["docs/a.md: b.md"]
