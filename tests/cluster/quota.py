"""ResourceQuotas: what a namespace may hold at once."""

from collections import Counter

from cluster.kinds import KINDS
from cluster.quantities import amount, asks, plain
from cluster.refusals import forbidden
from cluster.store import Store, Thing


def check(store: Store, thing: Thing) -> None:
    """Refusal 403: with this new object a quota would be exceeded, or it does not say what a quota must count."""
    wanted = _usage(thing)
    for quota in store.list("ResourceQuota", thing["metadata"].get("namespace", "")):
        name, hard = quota["metadata"]["name"], quota["spec"]["hard"]
        what = f'{KINDS[thing["kind"]].resource} "{thing["metadata"]["name"]}" is forbidden:'
        must = [item for item in hard if thing["kind"] == "Pod" and _computed(item) and item not in wanted]
        if must:
            raise forbidden(f"{what} failed quota: {name}: must specify {','.join(sorted(must))}")
        used = _used(store, quota)
        over = [item for item in hard if wanted[item] and used[item] + wanted[item] > amount(hard[item])]
        if over:
            limited = ",".join(f"{item}={hard[item]}" for item in over)
            raise forbidden(f"{what} exceeded quota: {name}, requested: {_say(wanted, over)}, "
                            f"used: {_say(used, over)}, limited: {limited}")  # fmt: skip


def report(store: Store) -> None:
    """Write each quota's status."""
    for quota in store.list("ResourceQuota"):
        hard, used = quota["spec"].get("hard", {}), _used(store, quota)
        status = {"hard": hard, "used": {item: plain(used[item]) for item in hard}}
        store.change(quota, lambda copy, status=status: copy.update(status=status))


def _computed(item: str) -> bool:
    return item in ("cpu", "memory") or item.startswith(("requests.cpu", "requests.memory", "limits."))


def _used(store: Store, quota: Thing) -> Counter[str]:
    used: Counter[str] = Counter()
    for thing in store:
        ended = thing["kind"] == "Pod" and thing["status"]["phase"] in ("Succeeded", "Failed")
        if thing["metadata"].get("namespace") == quota["metadata"]["namespace"] and not ended:
            used.update(_usage(thing))
    return used


def _usage(thing: Thing) -> Counter[str]:
    kind = KINDS[thing["kind"]]
    usage = Counter({f"count/{kind.resource}": amount(1), kind.plural: amount(1)})
    if kind.kind == "Pod":
        for which in ("requests", "limits"):
            usage.update({f"{which}.{name}": value for name, value in asks(thing, which).items()})
        usage.update({name: usage[f"requests.{name}"] for name in ("cpu", "memory") if f"requests.{name}" in usage})
    if kind.kind == "PersistentVolumeClaim":
        usage["requests.storage"] = amount(thing["spec"]["resources"]["requests"]["storage"])
    return usage


def _say(amounts: Counter[str], items: list[str]) -> str:
    return ",".join(f"{item}={plain(amounts[item])}" for item in items)
