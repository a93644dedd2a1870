"""A request that a bucket refuses is told in the bucket's own words, and with the right advice."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from job import storage
from job.contract.configs import ExportConfig
from job.contract.errors import ConfigError, DeniedError, JobError
from job.process import entry
from job.storage.interface import KeptError
from tests.fault_proxy import Fault, FaultProxy


@dataclass(frozen=True)
class Refusal:
    """What storage says, the error that it becomes, and what its text must hold."""

    status: int
    reason: str
    message: str
    error: type[JobError]
    advice: str


REFUSALS = {
    "a role": Refusal(
        403,
        "forbidden",
        "robot@project.iam.gserviceaccount.com does not have storage.objects.create access to the "
        "Google Cloud Storage object. Permission 'storage.objects.create' denied on resource (or "
        "it may not exist).",
        DeniedError,
        "permission storage.objects.create on .* grant it with roles/storage.object",
    ),
    "nothing at all": Refusal(403, "forbidden", "Forbidden", DeniedError, "grant it with roles/"),
    "a retention policy": Refusal(
        403,
        "retentionPolicyNotMet",
        "Object 'b/o' is subject to bucket's retention policy or object retention and cannot be "
        "deleted or overwritten until 2027-01-01T00:00:00.5-08:00",
        KeptError,
        "until 2027-01-01T00:00:00.5-08:00; the bucket's retention policy keeps it",
    ),
    "a hold": Refusal(
        403,
        "objectUnderActiveHold",
        "Object 'b/o' is under active Temporary hold and cannot be deleted, overwritten or "
        "archived until hold is removed.",
        KeptError,
        "until hold is removed.; release the hold .*--no-temporary-hold",
    ),
    "an account without billing": Refusal(
        403,
        "accountDisabled",
        "The billing account for the owning project is disabled in state absent",
        DeniedError,
        "disabled in state absent; .* needs an active billing account",
    ),
    "a perimeter": Refusal(
        403,
        "forbidden",
        "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: abc1",
        DeniedError,
        "vpcServiceControlsUniqueIdentifier: abc1; a service perimeter lies between",
    ),
    "an organisation's policy": Refusal(
        412,
        "orgPolicyConstraintFailed",
        "Request violates constraint 'constraints/gcp.restrictNonCmekServices'",
        DeniedError,
        "restrictNonCmekServices'; a policy of the organisation forbids it",
    ),
    "such a policy under the reason of a condition": Refusal(
        412,
        "conditionNotMet",
        "Request violates constraint 'constraints/gcp.resourceLocations'",
        DeniedError,
        "gcp.resourceLocations'; a policy of the organisation",
    ),
    "a network": Refusal(
        403,
        "forbidden",
        "There is an IP filtering condition that is preventing access to the resource.",
        DeniedError,
        "the bucket's IP filter does not let this network in",
    ),
    "a key without access": Refusal(
        403,
        "forbidden",
        "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account "
        "has been authorized to use this key.",
        DeniedError,
        "authorized to use this key.; the bucket's key must be enabled, .*cryptoKeyEncrypter",
    ),
    "a disabled key": Refusal(
        400,
        "cloudKmsDisabledKey",
        "Cloud KMS key version projects/p/locations/l/keyRings/r/cryptoKeys/k is disabled.",
        DeniedError,
        "cryptoKeys/k is disabled.; the bucket's key must be enabled",
    ),
    "a customer's own key": Refusal(
        400,
        "resourceIsEncryptedWithCustomerEncryptionKey",
        "The target object is encrypted by a customer-supplied encryption key.",
        DeniedError,
        "objects under a customer-supplied key cannot be used here",
    ),
    "a requester who does not pay": Refusal(
        400,
        "required",
        "Bucket is a requester pays bucket but no user project provided.",
        ConfigError,
        "no user project provided.; .* by --billing_project",
    ),
    "a payer who may not": Refusal(
        403,
        "userProjectAccessDenied",
        "robot@p does not have serviceusage.services.use access to the Google Cloud project.",
        DeniedError,
        "--billing_project must exist, .*serviceUsageConsumer",
    ),
    "scopes": Refusal(
        403,
        "insufficientPermissions",
        "Provided scope(s) are not authorized",
        DeniedError,
        "access scopes do not reach so far: on GKE use Workload Identity",
    ),
    "an API that is off": Refusal(
        403,
        "accessNotConfigured",
        "Cloud Storage JSON API has not been used in project 1 before or it is disabled.",
        DeniedError,
        "gcloud services enable storage.googleapis.com",
    ),
    "something new": Refusal(
        403,
        "planetMisaligned",
        "The planets are misaligned.",
        DeniedError,
        "planets are misaligned",
    ),
    "something wrong": Refusal(
        400, "invalid", "No such thing.", ConfigError, "refused the request: 400 No such thing"
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_is_refused_is_told_in_storages_words(
    what: str, faulty_bucket: str, proxy: FaultProxy
) -> None:
    """Whatever the operation; a role is advised only where one is missing."""
    refusal = REFUSALS[what]
    path = f"{faulty_bucket}/file"
    operations: list[Callable[[], object]] = [
        lambda: storage.write_bytes(path, b"x"),
        lambda: storage.write_bytes(path, b"x", if_absent=True),
        lambda: storage.read_bytes(path),
        lambda: storage.stat(path),
        lambda: storage.delete(path),
        lambda: list(storage.list_files(faulty_bucket)),
    ]
    for operation in operations:
        proxy.faults[:] = [
            Fault(status=refusal.status, reason=refusal.reason, message=refusal.message, times=1)
        ]
        with pytest.raises(refusal.error, match=refusal.advice) as error:
            operation()
        assert type(error.value) is refusal.error
        assert path in str(error.value) or faulty_bucket in str(error.value)
        roles = what in ("a role", "nothing at all")
        assert ("grant it with roles/storage." in str(error.value)) is roles


def test_contents_are_refused_in_plain_text(faulty_bucket: str, proxy: FaultProxy) -> None:
    """And XML, by older endpoints; a proxy's page of HTML is nobody's words."""
    path = f"{faulty_bucket}/file"
    held = "Object is subject to retention. vpcServiceControlsUniqueIdentifier: abc1"
    for body in (held, f"<?xml version='1.0'?><Error><Message>{held}</Message></Error>"):
        proxy.faults[:] = [Fault(status=403, message=body, plain=True)]
        with pytest.raises(DeniedError, match=r"subject to retention.*a service perimeter"):
            storage.read_bytes(path)
    proxy.faults[:] = [Fault(status=403, message="<html><body>No!</body></html>", plain=True)]
    with pytest.raises(DeniedError, match=r"permission storage\.objects.get") as error:
        storage.read_bytes(path)
    assert "<" not in str(error.value)


def test_a_command_names_the_project_that_pays_on_every_request(
    faulty_bucket: str, proxy: FaultProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    """--billing_project; without it the bucket's words and the flag's name, and exit code 2."""
    no_payer = Fault(
        status=400,
        reason="required",
        message="Bucket is a requester pays bucket but no user project provided.",
        paths=r"^[A-Z]+ (?!.*(userProject=payer-1|upload_id=))",
    )
    proxy.faults.append(no_payer)

    def use(_: ExportConfig) -> None:
        storage.write_bytes(f"{faulty_bucket}/small", b"x")
        storage.write_bytes(f"{faulty_bucket}/large", bytes(9 << 20))
        storage.read_bytes(f"{faulty_bucket}/small")
        list(storage.list_files(faulty_bucket))
        storage.delete(f"{faulty_bucket}/small")

    args = ["--run=a", "--output=b"]
    assert entry.run(use, ExportConfig, program="x", description="", args=args) == 2
    assert "by --billing_project" in capfd.readouterr().err
    args.append("--billing_project=payer-1")
    assert entry.run(use, ExportConfig, program="x", description="", args=args) == 0
    assert no_payer.seen == 1
