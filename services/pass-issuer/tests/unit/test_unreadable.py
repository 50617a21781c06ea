"""Every secret that may not open has a name and a remedy."""

from __future__ import annotations

import inspect
from uuid import UUID, uuid4

import pytest

from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.refusals import Unreadable

#: Opened by the notifier alone.
ELSEWHERE = {"workspace_credentials"}

CONTEXTS = [
    each
    for name, each in inspect.getmembers(secret_contexts, inspect.isfunction)
    if name not in ELSEWHERE
]


def example(parameter: inspect.Parameter) -> object:
    if parameter.annotation == "UUID":
        return uuid4()
    return 1 if parameter.annotation == "int" else "own:words"


@pytest.mark.unit
@pytest.mark.parametrize("context_of", CONTEXTS, ids=lambda each: each.__name__)
def test_a_secret_is_named_by_its_ids_with_what_helps(context_of):
    # proves: A14
    given = [example(each) for each in inspect.signature(context_of).parameters.values()]
    refusal = Unreadable.of(context_of(*given))
    assert refusal.code == "unreadable"
    assert refusal.field in context_of(*given)
    assert "put the key back" in refusal.detail
    named = [each for each in given[1:] if isinstance(each, UUID)]
    assert all(str(each) in refusal.detail for each in named)


@pytest.mark.unit
def test_the_words_of_a_caller_are_not_repeated():
    # proves: A14
    context = secret_contexts.idempotent_answer(uuid4(), "own:words")
    assert "own" not in Unreadable.of(context).detail


@pytest.mark.unit
def test_a_secret_that_nobody_named_is_refused_all_the_same():
    assert Unreadable.of("whatever").field == "secret"
