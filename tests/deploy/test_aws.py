"""`docs/how-to/run-on-aws.md`, block by block, against moto; then the APIs are asked what exists.

moto answers for an unknown type with a warning and an empty row. `PRETENDED` names those: `moto_server` accepts them,
creates only secrets, and writes their properties down, which are checked instead. Any other warning fails the test.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from carteira.embedded import free_port
from tests.support.cloudformation import ORDER, STACKS, read
from tests.support.guides import script_of
from tests.support.source import ROOT
from tests.support.waiting import wait_until

TOOLS = Path(sys.prefix) / "aws"
CHECKERS = Path(sys.prefix) / "kubernetes"
PAGE = ROOT / "docs" / "how-to" / "run-on-aws.md"
REGION, ACCOUNT = "sa-east-1", "123456789012"
LEFT_OUT = 3
"""Blocks of the page that no script can follow, each with the reason."""
PRETENDED = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Backup::BackupPlan",
    "AWS::Backup::BackupSelection",
    "AWS::Backup::BackupVault",
    "AWS::Budgets::Budget",
    "AWS::CertificateManager::Certificate",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SecretsManager::Secret",
}
"""Types that moto 5.2 does not create."""
FORGOTTEN = {"AWS::EC2::Subnet", "AWS::Logs::LogGroup"}
"""Resources that moto no longer lists after a stack's update; other tests ask for them."""

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not (TOOLS / "moto").exists(), reason="NO moto: no stack was deployed (`make deploy-tools`)"),
]


def run(*command: str, folder: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_templates_are_sound_for_the_region() -> None:
    templates = [str(STACKS / f"{name}.yaml") for name in ORDER]
    said = run(sys.executable, str(TOOLS / "bin" / "cfn-lint"), "-r", REGION, "--", *templates, PYTHONPATH=str(TOOLS))
    assert said == "", "moto gives no warning"


def test_templates_are_clean() -> None:
    if not CHECKERS.is_dir():
        pytest.skip("NO checkov: the templates were not checked (`make deploy-tools`)")
    checkov = ("-m", "checkov.main", "--skip-download", "--compact", "--framework", "cloudformation", "-o", "json")
    told = json.loads(run(sys.executable, *checkov, "-d", str(STACKS), PYTHONPATH=str(CHECKERS)))
    assert (told["summary"]["failed"], told["summary"]["parsing_errors"]) == (0, 0)
    assert told["summary"]["passed"] > 150
    reasons = [
        skip["comment"]
        for name in ORDER
        for resource in read(name)["Resources"].values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert all(reasons)
    assert told["summary"]["skipped"] == len(reasons)


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto as a server with its warnings in `moto.log`; return its address."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(TOOLS), "PYTHONWARNINGS": "always", "AWS_DEFAULT_REGION": REGION}
    script = ROOT / "tests" / "deploy" / "moto_server.py"
    command = [sys.executable, str(script), str(port), str(folder / "pretended.jsonl"), *sorted(PRETENDED)]
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url), "moto", 120)
            yield url
        finally:
            server.terminate()
            server.wait(20)


def asked(url: str, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    session = botocore.session.get_session()
    return session.create_client(
        service, region_name=REGION, endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test"
    )


def answers(url: str) -> bool:
    try:
        asked(url, "sts").get_caller_identity()
    except (EndpointConnectionError, ClientError):
        return False
    return True


def make_what_the_page_needs(url: str, folder: Path) -> None:
    """Create a hosted zone, and the certificate authorities that the page would download."""
    asked(url, "route53").create_hosted_zone(Name="exemplo.com.br", CallerReference="1")
    (folder / "aws" / "keys").mkdir(parents=True)
    (folder / "aws" / "keys" / "rds.pem").write_text("-----BEGIN CERTIFICATE-----\n")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page, followed to its end: moto's address, and the folder of its commands."""
    folder = tmp_path_factory.mktemp("aws")
    shutil.copytree(ROOT / "deploy" / "aws", folder / "deploy" / "aws")
    (folder / "page.sh").write_text(script_of(PAGE, LEFT_OUT))
    (folder / "bin").mkdir()
    client = f'#!/bin/sh\nPYTHONPATH={TOOLS} exec {sys.executable} {TOOLS / "bin" / "aws"} "$@"\n'
    (folder / "bin" / "aws").write_text(client)
    (folder / "bin" / "aws").chmod(0o700)
    given = {
        "PATH": f"{folder / 'bin'}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_PAGER": "",
        "EDITOR": "true",
    }
    with moto(folder) as url:
        make_what_the_page_needs(url, folder)
        told = run("bash", str(folder / "page.sh"), folder=folder, AWS_ENDPOINT_URL=url, **given)
        (folder / "page.log").write_text(told)
        yield url, folder


def rows(url: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return each stack's resources as moto lists them."""
    client = asked(url, "cloudformation")
    return {
        name: {
            row["LogicalResourceId"]: row
            for page in client.get_paginator("list_stack_resources").paginate(StackName=f"carteira-{name}")
            for row in page["StackResourceSummaries"]
        }
        for name in ORDER
    }


def pretended(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the properties of what moto did not create, by type, as moto resolved them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "pretended.jsonl").read_text().splitlines():
        one = json.loads(line)
        found.setdefault(one["Type"], []).append(one["Properties"])
    return found


def test_moto_made_all_but_the_known_exceptions(aws: tuple[str, Path]) -> None:
    url, folder = aws
    assert "it's not supported by moto" not in (folder / "moto.log").read_text()
    assert pretended(folder).keys() == PRETENDED
    for name, found in rows(url).items():
        wanted = {key for key, one in read(name)["Resources"].items() if one["Type"] not in FORGOTTEN}
        assert wanted <= found.keys()
        assert {row["ResourceStatus"] for row in found.values()} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_resources_that_moto_does_not_make_are_correct(aws: tuple[str, Path]) -> None:
    _, folder = aws
    found = pretended(folder)
    (cache,) = found["AWS::ElastiCache::ReplicationGroup"]
    assert {cache[name] for name in ("AutomaticFailoverEnabled", "MultiAZEnabled", "AtRestEncryptionEnabled")} == {True}
    assert (cache["TransitEncryptionEnabled"], cache["TransitEncryptionMode"]) == (True, "required")
    assert re.fullmatch(r"\{\{resolve:secretsmanager:arn:.+carteira/cache-password.+\}\}", cache["AuthToken"])
    (kept,) = found["AWS::ElastiCache::ParameterGroup"]
    assert kept["Properties"] == {"maxmemory-policy": "noeviction"}
    limits = found["AWS::ApplicationAutoScaling::ScalableTarget"][0]
    assert (int(limits["MinCapacity"]), int(limits["MaxCapacity"])) == (2, 6)
    (budget,) = found["AWS::Budgets::Budget"]
    assert int(budget["Budget"]["BudgetLimit"]["Amount"]) == 1500
    told = [one["Subscribers"][0]["Address"] for one in budget["NotificationsWithSubscribers"]]
    assert told == ["operadores@exemplo.com.br"] * 2
    backed = " ".join(found["AWS::Backup::BackupSelection"][0]["BackupSelection"]["Resources"])
    assert all(one in backed for one in (":db:carteira", "table/carteira-credit", "-documents", "-journal"))
    alarms = found["AWS::CloudWatch::Alarm"]
    assert len(alarms) == 18
    assert all(alarm["AlarmActions"][0].endswith(":carteira-alarms") for alarm in alarms)
    policies = [one["PolicyDocument"]["Statement"][0] for one in found["AWS::S3::BucketPolicy"]]
    assert {(one["Effect"], str(one["Condition"])) for one in policies} == {
        ("Deny", "{'Bool': {'aws:SecureTransport': 'false'}}")
    }


def test_the_database_is_as_it_should_be(aws: tuple[str, Path]) -> None:
    url, _ = aws
    (database,) = asked(url, "rds").describe_db_instances()["DBInstances"]
    assert database["MultiAZ"] is True
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert (database["Engine"], database["EngineVersion"].partition(".")[0]) == ("postgres", "18")
    assert database["BackupRetentionPeriod"] == 35
    assert (database["MasterUsername"], database["DBName"]) == ("carteira", "carteira")


def test_stored_data_are_encrypted_and_private(aws: tuple[str, Path]) -> None:
    url, _ = aws
    s3 = asked(url, "s3")
    names = {bucket["Name"].partition(f"-{ACCOUNT}-")[2]: bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    assert names.keys() == {"access-logs", "documents", "backups", "journal"}
    for short, name in names.items():
        rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
        algorithm = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if short == "access-logs" else "aws:kms")
    written = [one["Properties"] for one in read("data")["Resources"].values() if one["Type"] == "AWS::S3::Bucket"]
    assert len(written) == 4
    for bucket in written:  # moto keeps neither
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    dynamodb = asked(url, "dynamodb")
    table = dynamodb.describe_table(TableName="carteira-credit")["Table"]
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["DeletionProtectionEnabled"] is True
    kept = dynamodb.describe_continuous_backups(TableName="carteira-credit")["ContinuousBackupsDescription"]
    point_in_time = kept["PointInTimeRecoveryDescription"]
    assert point_in_time["PointInTimeRecoveryStatus"] == "ENABLED"
    assert int(point_in_time["RecoveryPeriodInDays"]) == 35
    kms = asked(url, "kms")
    keys = [key["KeyId"] for key in kms.list_keys()["Keys"]]
    rotated = [kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] for key in keys]
    assert rotated.count(True) >= 2


def test_the_registry_scans_images_and_moves_no_tag(aws: tuple[str, Path]) -> None:
    url, _ = aws
    ecr = asked(url, "ecr")
    (repository,) = ecr.describe_repositories()["repositories"]
    assert repository["repositoryName"] == "carteira-server"
    assert repository["imageTagMutability"] == "IMMUTABLE"
    (written,) = [
        one["Properties"] for one in read("foundation")["Resources"].values() if one["Type"] == "AWS::ECR::Repository"
    ]
    assert written["ImageScanningConfiguration"] == {"ScanOnPush": True}, "moto keeps it by another name"
    assert written["EncryptionConfiguration"]["EncryptionType"] == "KMS"


def test_backups_are_continuous_and_nightly(aws: tuple[str, Path]) -> None:
    _, folder = aws
    (plan,) = pretended(folder)["AWS::Backup::BackupPlan"]
    rules = {rule["RuleName"]: rule for rule in plan["BackupPlan"]["BackupPlanRule"]}
    assert rules.keys() == {"continuous", "nightly"}
    assert rules["continuous"]["EnableContinuousBackup"] in {True, "true"}
    assert "EnableContinuousBackup" not in rules["nightly"], "only snapshots can be copied to another region at night"
    for rule in rules.values():
        assert int(rule["Lifecycle"]["DeleteAfterDays"]) == 35
        assert re.fullmatch(r"cron\(0 [45] \* \* \? \*\)", rule["ScheduleExpression"]), "at night in São Paulo"
        assert rule["TargetBackupVault"]
        assert not rule.get("CopyActions"), "the page names no CopyVault"


def test_servers_follow_their_processor_time(aws: tuple[str, Path]) -> None:
    _, folder = aws
    found = pretended(folder)
    (target,) = found["AWS::ApplicationAutoScaling::ScalableTarget"]
    assert (target["ServiceNamespace"], target["ScalableDimension"]) == ("ecs", "ecs:service:DesiredCount")
    assert target["ResourceId"] == "service/carteira/server"
    (policy,) = found["AWS::ApplicationAutoScaling::ScalingPolicy"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    metric = tracked["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert (metric, int(tracked["TargetValue"])) == ("ECSServiceAverageCPUUtilization", 60)
    assert int(tracked["ScaleOutCooldown"]) < int(tracked["ScaleInCooldown"])


def test_nobody_reaches_but_the_load_balancer(aws: tuple[str, Path]) -> None:
    url, _ = aws
    ec2 = asked(url, "ec2")
    groups = {row: found["PhysicalResourceId"] for row, found in rows(url)["foundation"].items() if "Group" in row}
    described = ec2.describe_security_groups(GroupIds=list(groups.values()))["SecurityGroups"]
    by_id = {group["GroupId"]: group for group in described}
    open_to_all = {
        name
        for name, group in groups.items()
        for rule in by_id[group]["IpPermissions"]
        if any(network["CidrIp"] == "0.0.0.0/0" for network in rule["IpRanges"])
    }
    assert open_to_all == {"BalancerGroup"}
    assert by_id[groups["WorkerGroup"]]["IpPermissions"] == []
    (vpc,) = [one for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]]
    assert vpc["CidrBlock"] == "10.20.0.0/16"
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == {"sa-east-1a", "sa-east-1c"}
    assert len(subnets) == 6


def test_traces_leave_by_one_port_to_one_collector(aws: tuple[str, Path]) -> None:
    url, folder = aws
    groups = rows(url)["foundation"]
    opened = {
        (rule["GroupId"], rule["IpProtocol"], rule["CidrIp"], int(rule["FromPort"]), int(rule["ToPort"]))
        for rule in pretended(folder)["AWS::EC2::SecurityGroupEgress"]
    }
    known = [groups[name]["PhysicalResourceId"] for name in ("ServerGroup", "WorkerGroup")]
    assert opened == {(group, "tcp", "10.20.16.10/32", 4318, 4318) for group in known}
    given = {}
    for name in ("migration", "server", "worker"):
        task = asked(url, "ecs").describe_task_definition(taskDefinition=f"carteira-{name}")["taskDefinition"]
        environment = {one["name"]: one["value"] for one in task["containerDefinitions"][1]["environment"]}
        given[name] = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    collector = "https://traces.carteira.exemplo.com.br:4318"
    assert given == {"migration": None, "server": collector, "worker": collector}


def test_people_come_by_tls_to_servers_in_two_zones(aws: tuple[str, Path]) -> None:
    url, _ = aws
    balancers = asked(url, "elbv2")
    (balancer,) = balancers.describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internet-facing"
    listeners = balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    by_port = {one["Port"]: one for one in listeners}
    assert by_port[80]["DefaultActions"][0]["Type"] == "redirect"
    assert by_port[443]["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    (targets,) = balancers.describe_target_groups()["TargetGroups"]
    assert (targets["HealthCheckPath"], targets["TargetType"]) == ("/health", "ip")
    zone = asked(url, "route53").list_hosted_zones()["HostedZones"][0]["Id"]
    records = asked(url, "route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    named = [record for record in records if record["Name"].startswith("carteira.exemplo.com.br")]
    assert named[0]["AliasTarget"]["EvaluateTargetHealth"] is True


def test_a_release_runs_after_its_migration(aws: tuple[str, Path]) -> None:
    url, folder = aws
    ecs = asked(url, "ecs")
    services = ecs.describe_services(cluster="carteira", services=["server", "worker"])["services"]
    assert {one["serviceName"]: one["desiredCount"] for one in services} == {"server": 2, "worker": 2}
    for name in ("migration", "server", "worker"):
        task = ecs.describe_task_definition(taskDefinition=f"carteira-{name}")["taskDefinition"]
        images = {container["image"].rpartition(":")[2] for container in task["containerDefinitions"]}
        assert images == {"0.11.0"}, "the second release"
        assert [container["name"] for container in task["containerDefinitions"]] == ["secrets", name]
    secrets = asked(url, "secretsmanager")
    keys = json.loads(secrets.get_secret_value(SecretId="carteira/keys")["SecretString"])
    assert keys.keys() == {"access-token.pem", "identity.key", "documents.json", "credit.json", "rds.pem"}
    settings = json.loads(secrets.get_secret_value(SecretId="carteira/settings")["SecretString"])
    assert settings["BACKUP_RECIPIENTS"].startswith("age1")
    assert "…" not in json.dumps(settings, ensure_ascii=False)
    told = (folder / "page.log").read_text()
    assert "PRIVATE KEY" not in told
    assert "AGE-SECRET-KEY" not in told


def test_logs_are_kept_for_as_long_as_said(aws: tuple[str, Path]) -> None:
    url, _ = aws
    groups = asked(url, "logs").describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group.get("retentionInDays") for group in groups}
    own = {name: days for name, days in kept.items() if name.startswith(("/carteira/", "/aws/rds/"))}
    assert own.keys() >= {"/carteira/server", "/carteira/worker", "/carteira/migration", "/carteira/network"}
    assert set(own.values()) == {90}
    assert asked(url, "cloudwatch").list_dashboards()["DashboardEntries"][0]["DashboardName"] == "carteira"
    body = json.loads(asked(url, "cloudwatch").get_dashboard(DashboardName="carteira")["DashboardBody"])
    assert len(body["widgets"]) == 9
