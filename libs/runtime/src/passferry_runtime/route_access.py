"""Who may call which route. A route that does not say is not served."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Route

from passferry_contracts.types import Role

#: "by_hand" is a plain route, whose endpoint knows nothing of dependencies and checks for itself.
Access = Role | Literal["public", "by_hand"]


class UnguardedRoute(Exception):
    """A route that says neither who may call it nor that anyone may."""


def access_of(route: RouteContext) -> Access:
    """Raises `UnguardedRoute`; websockets and mounts count as such unless marked `@public`."""
    if getattr(route.endpoint, "is_public", False):
        return "public"
    if isinstance(route.original_route, APIRoute):
        role = required_role(route.dependant)
    elif isinstance(route.original_route, Route):
        return "by_hand"
    else:
        role = None
    if role is None:
        methods = "/".join(sorted(route.methods or ()))
        raise UnguardedRoute(
            f"{methods} {route.path}: use Depends(require(role)) or mark it @public"
        )
    return role


def required_role(dependant: Dependant) -> Role | None:
    """The role that a route's guard asks for, wherever the guard is among its dependencies."""
    for dependency in dependant.dependencies:
        role = getattr(dependency.call, "required_role", None) or required_role(dependency)
        if isinstance(role, Role):
            return role
    return None


def access_table(routes: Iterable[BaseRoute]) -> dict[tuple[str, str], Access]:
    """(method, path) and who may call it, of every route, also of nested routers."""
    return {
        (method, route.path or ""): access_of(route)
        for route in route_contexts(routes)
        for method in sorted(route.methods or {"ANY"})
    }


def route_contexts(routes: Iterable[BaseRoute]) -> Iterator[RouteContext]:
    # Routers are included lazily: their own list of routes does not show the nested ones.
    return iter_route_contexts(list(routes))
