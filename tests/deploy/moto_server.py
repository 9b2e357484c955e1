"""moto as a server that also accepts types of resources that its CloudFormation lacks; run with tools of its own.

PYTHONPATH=.venv/aws python tests/deploy/moto_server.py PORT FILE TYPE…

A resource of a TYPE is not created: it gets a name and attributes, so that other stacks can refer to it, and its
resolved properties are written to FILE, one JSON line each. A secret (without a value) and a certificate are created,
since other resources need them. moto warns of types that are neither known nor given.
"""

import json
import sys
from pathlib import Path
from typing import Any

from moto.acm.models import acm_backends
from moto.cloudformation.models import CloudFormationBackend
from moto.core.common_models import CloudFormationModel
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.ecs.models import TaskDefinition
from moto.elbv2.models import FakeTargetGroup
from moto.rds.models import DBParameterGroup
from moto.secretsmanager.models import secretsmanager_backends
from moto.server import main

PORT, FILE, *TYPES = sys.argv[1:]
MADE = CloudFormationBackend.execute_change_set
MADE_TABLE = Table.create_from_cloudformation_json


def execute_change_set(backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
    """Make the stack of a change set as any other is made: else it neither sees what others export, nor exports."""
    change_set = backend.describe_change_set(change_set_name)
    assert change_set is not None
    if change_set.change_set_type != "CREATE":
        MADE(backend, change_set_name, stack_name)
        return
    del backend.stacks[change_set.stack_id]
    backend.create_stack(change_set.stack_name, change_set.template, change_set.parameters, tags=change_set.tags)
    change_set.execution_status = "EXECUTE_COMPLETE"


def update_task(
    original_resource: TaskDefinition, new_resource_name: str, cloudformation_json: dict[str, Any], **where: str
) -> TaskDefinition:
    """Register a revision as the first one was: else its containers lose their names and images."""
    return type(original_resource).create_from_cloudformation_json(new_resource_name, cloudformation_json, **where)


def create_table(
    resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **more: str
) -> Table:
    """Create a table with its point in time, which moto forgets."""
    table = MADE_TABLE(resource_name, cloudformation_json, account_id, region_name, **more)
    if specification := cloudformation_json["Properties"].get("PointInTimeRecoverySpecification"):
        dynamodb_backends[account_id][region_name].update_continuous_backups(table.name, specification)
    return table


def mend() -> None:
    """Add to moto what it lacks beside types: exports, points in time, revisions of tasks, two names for references."""
    mended: list[tuple[type, str, object]] = [
        (CloudFormationBackend, "execute_change_set", execute_change_set),
        (Table, "create_from_cloudformation_json", staticmethod(create_table)),
        (TaskDefinition, "update_from_cloudformation_json", staticmethod(update_task)),
        (DBParameterGroup, "physical_resource_id", property(lambda group: group.name)),
        (FakeTargetGroup, "get_cfn_attribute", lambda group, _name: group.arn.rpartition(":")[2]),
    ]
    for owner, name, value in mended:
        setattr(owner, name, value)


def secret(properties: dict[str, Any], account: str, region: str) -> str:
    """Make a secret without a value; return its ARN."""
    made = secretsmanager_backends[account][region].create_secret(
        name=properties["Name"],
        secret_string=None,
        secret_binary=None,
        description=properties["Description"],
        tags=None,
        kms_key_id=properties["KmsKeyId"],
        client_request_token=None,
        replica_regions=[],
        force_overwrite=False,
    )
    return str(json.loads(made)["ARN"])


def certificate(properties: dict[str, Any], account: str, region: str) -> str:
    """Request a certificate; return its ARN."""
    return str(acm_backends[account][region].request_certificate(properties["DomainName"], "", [], []))


MAKERS = {"AWS::SecretsManager::Secret": secret, "AWS::CertificateManager::Certificate": certificate}


class Pretended:
    """A resource that is there by name alone."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        """Return that it has no property that names it."""
        return ""

    @classmethod
    def has_cfn_attr(cls, _attr: str) -> bool:
        """Return that it has every attribute."""
        return True

    def get_cfn_attribute(self, name: str) -> str:
        """Return a text that stands for the attribute."""
        return f"{self.physical_resource_id}.{name}"

    def is_created(self) -> bool:
        """Return that it exists."""
        return True

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_more: str
    ) -> "Pretended":
        """Write down what its properties come to."""
        properties = cloudformation_json["Properties"]
        with Path(FILE).open("a") as file:
            file.write(json.dumps({"Type": cloudformation_json["Type"], "Properties": properties}) + "\n")
        make = MAKERS.get(cloudformation_json["Type"])
        return cls(make(properties, account_id, region_name) if make else resource_name)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource: "Pretended", **_more: object) -> "Pretended":
        """Leave it as it is."""
        return original_resource


def of_type(kind: str) -> type[Pretended]:
    """Return a class for one type: moto finds it among its own direct subclasses, and asks for its module."""
    named = {"cloudformation_type": staticmethod(lambda: kind), "__module__": "moto.pretended"}
    return type(kind.replace("::", ""), (Pretended, CloudFormationModel), named)


if __name__ == "__main__":
    mend()
    kept = [of_type(kind) for kind in TYPES]
    main(["-H", "127.0.0.1", "-p", PORT])
