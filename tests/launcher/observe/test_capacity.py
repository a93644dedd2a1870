"""What a submission asks of a large cluster: the nodes that matter, and the pods on them."""

from launcher.api.connection import Cluster
from launcher.observe import capacity
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer


def test_only_pods_on_nodes_that_matter_are_read(cluster: Cluster, server: FakeApiServer) -> None:
    """Thousands of pods of web servers say nothing of the room for eight GPUs."""
    for name, gpus in (("gpu", 8), ("web-a", 0), ("web-b", 0)):
        server.put(shapes.node(name, gpus=gpus))
    server.put(shapes.pod(0, node="gpu", gpus=3, job="there"))
    server.put(shapes.pod(1, node="gpu", gpus=4, job="gone", phase="Succeeded"))
    server.put(shapes.pod(0, node="web-a", gpus=0, job="web"))
    found = capacity.look(cluster, lambda node: node.name == "gpu")
    (gpu,) = [node for node in found.nodes if node.name == "gpu"]
    assert gpu.free("nvidia.com/gpu") == 5
    assert [holder.name for holder in found.gpu_holders] == ["there"]
    asked = [request for request in server.requests if "/pods" in request]
    assert len(asked) == 1
    assert "spec.nodeName" in asked[0]


def test_all_pods_are_read_where_every_node_matters(
    cluster: Cluster, server: FakeApiServer
) -> None:
    server.put(shapes.node("gpu", gpus=8))
    server.put(shapes.pod(0, node="gpu", gpus=3))
    assert capacity.look(cluster).nodes[0].free("nvidia.com/gpu") == 5
