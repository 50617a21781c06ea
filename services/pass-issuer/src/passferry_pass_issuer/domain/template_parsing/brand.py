"""Reading a brand, by the rules of the templates that take it."""

from __future__ import annotations

from passferry_pass_issuer.domain.brand import Brand
from passferry_pass_issuer.domain.template_parsing.apple import COLOUR
from passferry_pass_issuer.domain.template_parsing.google import HEX_COLOUR, address
from passferry_pass_issuer.domain.template_parsing.node import Node


def parse_brand(value: object) -> Brand:
    """Raises `ContentRejected`. An empty name is none; an empty `logo_text` is none either."""
    node = Node(value, "")
    brand = Brand(
        organization_name=node.optional_text("organization_name") or None,
        logo_text=node.optional_text("logo_text") or None,
        background_color=node.optional_text("background_color", pattern=COLOUR),
        foreground_color=node.optional_text("foreground_color", pattern=COLOUR),
        label_color=node.optional_text("label_color", pattern=COLOUR),
        hex_background_color=node.optional_text("hex_background_color", pattern=HEX_COLOUR),
        logo_url=address(node, "logo_url"),
    )
    node.refuse_the_rest()
    return brand
