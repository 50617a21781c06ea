"""Reads a template's content from JSON, naming the field of the first fault."""

from __future__ import annotations

from passferry_pass_issuer.domain.template import TemplateContent
from passferry_pass_issuer.domain.template_parsing.apple import apple_content
from passferry_pass_issuer.domain.template_parsing.end_rules import end_rules
from passferry_pass_issuer.domain.template_parsing.google import google_content
from passferry_pass_issuer.domain.template_parsing.node import Node

__all__ = ["parse_template_content"]


def parse_template_content(value: object) -> TemplateContent:
    """`{"apple": {…}, "google": {…}, "ends_when": […]}`, at least one of the first two. Raises `ContentRejected`."""
    node = Node(value, "")
    content = TemplateContent(
        apple=node.optional_child("apple", apple_content),
        google=node.optional_child("google", google_content),
        ends_when=end_rules(node),
    )
    node.refuse_the_rest()
    return content
