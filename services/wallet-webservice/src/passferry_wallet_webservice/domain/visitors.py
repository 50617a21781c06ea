"""Who opens a public link, as far as the user agent tells."""

from __future__ import annotations

from passferry_contracts.types import Platform


def platform_of(user_agent: str) -> Platform:
    """Apple for what can take a .pkpass: iPhone, iPad, Watch, and Safari on a Mac."""
    agent = user_agent.lower()
    if any(name in agent for name in ("iphone", "ipad", "ipod", "apple watch", "passd/")):
        return Platform.APPLE
    is_safari = "macintosh" in agent and "safari" in agent
    if is_safari and not any(name in agent for name in ("chrome", "chromium", "firefox", "edg/")):
        return Platform.APPLE
    return Platform.GOOGLE if "android" in agent else Platform.OTHER
