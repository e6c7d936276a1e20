"""Who asks (bearer tokens of service accounts), and whether a Role or ClusterRole that is bound to them lets them."""

import secrets
from typing import NamedTuple

from cluster.kinds import Kind
from cluster.refusals import Refusal, forbidden
from cluster.store import Store, Thing


class User(NamedTuple):
    name: str
    groups: frozenset[str]


ADMIN = User("admin", frozenset({"system:masters", "system:authenticated"}))


class Asked(NamedTuple):
    """What somebody wants to do. resource: with its subresource, pods/log."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class Access:
    def __init__(self, store: Store, admin_token: str) -> None:
        self._store = store
        self._users = {admin_token: ADMIN}

    def token(self, account: Thing) -> str:
        """A new token of a service account; it is good for as long as the server lives and the account exists."""
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        groups = {"system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"}
        token = secrets.token_urlsafe(24)
        self._users[token] = User(f"system:serviceaccount:{namespace}:{name}", frozenset(groups))
        return token

    def user(self, authorization: str) -> User:
        """Refusal 401: no such token."""
        user = self._users.get(authorization.removeprefix("Bearer ").strip())
        if user is not None and user is not ADMIN:
            _, _, namespace, name = user.name.split(":")
            if self._store.get("ServiceAccount", namespace, name) is None:
                user = None
        if user is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return user

    def require(self, user: User, asked: Asked) -> None:
        if not self.allows(user, asked):
            thing = f"{asked.resource.split('/')[0]}{'.' + asked.group if asked.group else ''}"
            named = f'{thing} "{asked.name}"' if asked.name else thing
            where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
            raise forbidden(f'{named} is forbidden: User "{user.name}" cannot {asked.verb} resource '
                            f'"{asked.resource}" in API group "{asked.group}" {where}')  # fmt: skip

    def allows(self, user: User, asked: Asked) -> bool:
        if "system:masters" in user.groups:
            return True
        bindings = self._store.list("ClusterRoleBinding")
        if asked.namespace:
            bindings += self._store.list("RoleBinding", asked.namespace)
        bound = (binding for binding in bindings if any(_is(user, who, binding) for who in binding.get("subjects", [])))
        return any(_permits(rule, asked) for binding in bound for rule in self._rules(binding))

    def _rules(self, binding: Thing) -> list[Thing]:
        role = binding["roleRef"]
        namespace = binding["metadata"]["namespace"] if role["kind"] == "Role" else ""
        found = self._store.get(role["kind"], namespace, role["name"])
        return (found or {}).get("rules") or []


def asked_for(verb: str, kind: Kind, below: str, namespace: str, name: str) -> Asked:
    return Asked(verb, kind.group, f"{kind.plural}/{below}" if below else kind.plural, namespace, name)


def _is(user: User, subject: Thing, binding: Thing) -> bool:
    if subject["kind"] == "ServiceAccount":
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        return user.name == f"system:serviceaccount:{namespace}:{subject['name']}"
    return subject["name"] in (user.groups if subject["kind"] == "Group" else {user.name})


def _permits(rule: Thing, asked: Asked) -> bool:
    def has(field: str, value: str) -> bool:
        return value in rule.get(field, []) or "*" in rule.get(field, [])

    named = not rule.get("resourceNames") or asked.name in rule["resourceNames"]
    return has("verbs", asked.verb) and has("apiGroups", asked.group) and has("resources", asked.resource) and named
