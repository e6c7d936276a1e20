"""What the API takes and refuses, and what a watch is told."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from kubernetes_cluster import KubernetesCluster, Refused

from cluster.admission import check_schema
from cluster.manifests import Thing, job, thing
from cluster.refusals import Refusal


def test_a_misplaced_field_is_refused_by_its_path(kubernetes: KubernetesCluster, namespace: str) -> None:
    with pytest.raises(
        Refused, match=r'strict decoding error: unknown field "spec.template.spec.parallelism"'
    ) as refused:
        kubernetes.make(job(namespace, pod={"parallelism": 1}))
    assert refused.value.code == 400
    with pytest.raises(Refused, match=r'unknown field "spec.template.spec.containers\[0\].cpu"'):
        kubernetes.make(job(namespace, container={"cpu": "1"}))


@pytest.mark.parametrize(
    ("wrong", "what", "code"),
    [
        ({"container": {"image": None}}, r"image", 422),
        ({"container": {"env": [{"value": "x"}]}}, r"env\[0\].name: Required value", 422),
        ({"container": {"env": [{"name": "A", "value": 1}]}}, r"env\[0\].value", 400),
        ({"container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}}, 'Not found: "data"', 422),
        ({"container": {"resources": {"requests": {"nvidia.com/gpu": "1"}}}}, "non overcommitable", 422),
        ({"container": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}, "equal to cpu limit", 422),
        ({"container": {"resources": {"limits": {"memory": "much"}}}}, "quantities", 422),
        ({"pod": {"restartPolicy": "Always"}}, "restartPolicy: Unsupported value", 422),
        ({"name": "x" * 64}, "short enough", 422),
        ({"name": "Upper"}, "RFC 1123", 422),
    ],
)
def test_what_makes_no_sense_is_refused(
    kubernetes: KubernetesCluster, namespace: str, wrong: Thing, what: str, code: int
) -> None:
    with pytest.raises(Refused, match=what) as refused:
        kubernetes.make(job(namespace, **wrong))
    assert refused.value.code == code


def test_a_label_that_is_too_long_is_refused(kubernetes: KubernetesCluster, namespace: str) -> None:
    manifest = job(namespace)
    manifest["metadata"]["labels"] = {"prefect.io/flow-run-name": "x" * 64}
    with pytest.raises(Refused, match="at most 63"):
        kubernetes.make(manifest)


def test_each_version_of_kubernetes_has_its_own_schema() -> None:
    manifest = thing("Pod", "any", "pod", spec={"containers": [], "hostnameOverride": "new-in-1.34"})
    check_schema(manifest, "1.37")
    with pytest.raises(Refusal, match=r'unknown field "spec\.hostnameOverride"'):
        check_schema(manifest, "1.32")


def test_a_name_is_taken_once_and_a_stale_write_is_refused(kubernetes: KubernetesCluster, namespace: str) -> None:
    settings = thing("ConfigMap", namespace, "settings", data={"a": "1"})
    (made,) = kubernetes.make(settings)
    with pytest.raises(Refused, match="already exists") as refused:
        kubernetes.make(settings)
    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"
    changed = kubernetes.request("PUT", path, made | {"data": {"a": "2"}})
    assert changed["data"] == {"a": "2"} and changed["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(Refused, match="has been modified") as refused:
        kubernetes.request("PUT", path, made | {"data": {"a": "3"}})
    assert refused.value.reason == "Conflict"


def test_nothing_is_made_in_a_namespace_that_does_not_exist(kubernetes: KubernetesCluster) -> None:
    with pytest.raises(Refused, match='namespaces "nowhere" not found'):
        kubernetes.make(job("nowhere"))


def test_selectors(kubernetes: KubernetesCluster, namespace: str) -> None:
    for name, labels in (("one", {"app": "a", "gpu": "yes"}), ("two", {"app": "b"}), ("three", {})):
        kubernetes.make(
            {
                **thing("ConfigMap", namespace, name),
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
            }
        )

    def chosen(selector: str) -> set[str]:
        return {one["metadata"]["name"] for one in kubernetes.all("ConfigMap", namespace, selector)}

    assert chosen("app=a") == {"one"} and chosen("app!=a") == {"two", "three"}
    assert chosen("app in (a, b),gpu") == {"one"} and chosen("app notin (a)") == {"two", "three"}
    assert chosen("!app") == {"three"} and chosen("app==b") == {"two"}
    with pytest.raises(Refused, match="unable to parse requirement"):
        chosen("app in a")


def watch(kubernetes: KubernetesCluster, path: str, query: str) -> Iterator[Thing]:
    """The events of a watch, as they come; it ends by itself after 20 seconds."""
    with kubernetes.open("GET", f"{path}?watch=1&timeoutSeconds=20&{query}") as answer:
        for line in answer:
            yield json.loads(line)


def test_a_watch_goes_on_from_the_list_and_tells_of_what_leaves_the_selection(
    kubernetes: KubernetesCluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = kubernetes.request("GET", path)["metadata"]["resourceVersion"]

    def put(name: str, method: str = "POST", **labels: str) -> None:
        made = thing("ConfigMap", namespace, name)
        made["metadata"]["labels"] = labels
        kubernetes.request(method, path if method == "POST" else f"{path}/{name}", made)

    put("unseen", app="other")
    put("seen", app="ours")
    with closing(watch(kubernetes, path, f"resourceVersion={version}&labelSelector=app=ours")) as events:
        first = next(events)
        put("seen", "PUT", app="ours", more="yes")
        put("seen", "PUT", app="other")
        put("unseen", "PUT", app="ours")
        kubernetes.request("DELETE", f"{path}/unseen")
        told = [first] + [next(events) for _ in range(4)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in told] == [
        ("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen"), ("ADDED", "unseen"), ("DELETED", "unseen"),
    ]  # fmt: skip
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in told]
    assert versions == sorted(set(versions)) and versions[0] > int(version)


def test_a_watch_from_before_a_compaction_is_told_that_it_is_gone(
    kubernetes: KubernetesCluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = kubernetes.request("GET", path)["metadata"]["resourceVersion"]
    kubernetes.make(thing("ConfigMap", namespace, "later"))
    with closing(watch(kubernetes, path, f"resourceVersion={version}")) as events:
        assert next(events)["type"] == "ADDED"
        kubernetes.forget()
        assert next(events, None) is None, "the server has ended the watch"
    with closing(watch(kubernetes, path, f"resourceVersion={version}")) as events:
        error = next(events)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
    with closing(watch(kubernetes, path, "resourceVersion=0")) as events:
        assert next(events)["object"]["metadata"]["name"] == "later"


@pytest.mark.slow
def test_bookmarks_keep_a_quiet_watch_young(kubernetes: KubernetesCluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    with closing(watch(kubernetes, path, "resourceVersion=0&allowWatchBookmarks=true")) as events:
        kubernetes.make(thing("ConfigMap", namespace, "elsewhere"))
        bookmark = next(events)
    latest = kubernetes.request("GET", path)["metadata"]["resourceVersion"]
    assert bookmark == {
        "type": "BOOKMARK",
        "object": {"kind": "Secret", "apiVersion": "v1", "metadata": {"resourceVersion": latest}},
    }
