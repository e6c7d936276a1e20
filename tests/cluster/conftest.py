"""A namespace of its own for each test, and Jobs to run in it."""

import uuid
from collections.abc import Iterator

import pytest
from kubernetes_cluster import KubernetesCluster


@pytest.fixture
def namespace(kubernetes: KubernetesCluster) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubernetes.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kubernetes.request("DELETE", f"/api/v1/namespaces/{name}")
