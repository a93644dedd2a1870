"""Validation of manifests against the real schemas of their kinds; unknown fields are refused."""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

FOLDER = Path(__file__).parent / "schemas"
_CRDS = {"TFJob": "tfjob-v1.9.4.json", "JobSet": "jobset-v0.12.0.json"}
_CORE = {
    "batch/v1": "io.k8s.api.batch.v1",
    "apps/v1": "io.k8s.api.apps.v1",
    "v1": "io.k8s.api.core.v1",
    "rbac.authorization.k8s.io/v1": "io.k8s.api.rbac.v1",
    "networking.k8s.io/v1": "io.k8s.api.networking.v1",
    "policy/v1": "io.k8s.api.policy.v1",
    "admissionregistration.k8s.io/v1": "io.k8s.api.admissionregistration.v1",
}


def validate(manifest: dict[str, Any]) -> None:
    """Raise jsonschema.ValidationError if the API server would refuse or drop a field."""
    validator = _validator(manifest["apiVersion"], manifest["kind"])
    validator.validate(manifest)
    if manifest["kind"] in _CRDS:
        metadata = {"apiVersion": "batch/v1", "kind": "Job", "metadata": manifest["metadata"]}
        _validator("batch/v1", "Job").validate(metadata)


@functools.cache
def _validator(api_version: str, kind: str) -> jsonschema.Draft7Validator:
    if kind in _CRDS:
        schema = json.loads((FOLDER / _CRDS[kind]).read_text())
    else:
        schema = json.loads((FOLDER / "kubernetes-v1.36.3.json").read_text())
        schema["$ref"] = f"#/definitions/{_CORE[api_version]}.{kind}"
    return jsonschema.Draft7Validator(_strict(schema))


def _strict(node: Any) -> Any:
    """Close objects with known properties, and read Kubernetes' own types as JSON schema."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _strict(value) for key, value in node.items()}
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
        result["additionalProperties"] = False
    return result
