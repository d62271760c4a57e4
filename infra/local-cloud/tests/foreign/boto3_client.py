"""boto3 against the local cloud: what it sees must be what it would see at AWS.

argv[1] is JSON: the cloud's ready file and {"accessKeyId", "secretAccessKey", "bucket", "policy", "roleAlias",
"thing", "other"}. Certificates and keys of the two things are left in the folder argv[2] for the device SDK's script.
"""

import hashlib
import io
import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

CLOUD = json.loads(sys.argv[1])
FOLDER = pathlib.Path(sys.argv[2])


def client(service, **more):
    return boto3.client(
        service,
        endpoint_url=CLOUD["endpoint"],
        region_name=CLOUD["region"],
        aws_access_key_id=more.pop("key", CLOUD["accessKeyId"]),
        aws_secret_access_key=more.pop("secret", CLOUD["secretAccessKey"]),
        aws_session_token=more.pop("token", None),
        # boto3 would sign URLs of S3 in the old way (version 2), which AWS keeps for old buckets only.
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"},
                      signature_version="s3v4" if service == "s3" else None),
    )


def refused(code, status, call, **arguments):
    """The call fails with AWS's own name and status."""
    try:
        call(**arguments)
    except ClientError as error:
        seen = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert seen == (code, status), f"{call.__name__}: expected {code} {status}, saw {seen}: {error}"
        modelled(call.__self__.meta.service_model, code, status)
        return error
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def modelled(service, code, status):
    """AWS's own model of the service knows the error, if it names any, by this status."""
    shapes = [service.shape_for(name) for name in service.shape_names]
    for error in [shape for shape in shapes if shape.metadata.get("exception") and shape.name == code]:
        assert error.metadata["error"]["httpStatusCode"] == status, (code, status, error.metadata)


def things(iot):
    for number in range(5):
        made = iot.create_thing(thingName=f"py-{number}", attributePayload={"attributes": {"n": str(number)}})
        assert made["thingArn"].endswith(f":thing/py-{number}"), made
    again = iot.create_thing(thingName="py-0", attributePayload={"attributes": {"n": "0"}})
    assert again["thingName"] == "py-0"
    refused("ResourceAlreadyExistsException", 409, iot.create_thing, thingName="py-0",
            attributePayload={"attributes": {"n": "other"}})
    refused("ResourceNotFoundException", 404, iot.describe_thing, thingName="nobody")
    seen, token = [], None
    while True:
        page = iot.list_things(maxResults=2, **({"nextToken": token} if token else {}))
        assert len(page["things"]) <= 2
        seen += [thing["thingName"] for thing in page["things"]]
        token = page.get("nextToken")
        if not token:
            break
    assert {f"py-{n}" for n in range(5)} <= set(seen) and len(seen) == len(set(seen)), seen
    found = iot.list_things(attributeName="n", attributeValue="3")["things"]
    assert [thing["thingName"] for thing in found] == ["py-3"], found
    described = iot.describe_thing(thingName="py-3")
    refused("VersionConflictException", 409, iot.update_thing, thingName="py-3",
            attributePayload={"attributes": {"n": "4"}}, expectedVersion=described["version"] + 7)
    iot.update_thing(thingName="py-3", attributePayload={"attributes": {"m": "1"}, "merge": True})
    assert iot.describe_thing(thingName="py-3")["attributes"] == {"n": "3", "m": "1"}
    iot.delete_thing(thingName="py-4")
    refused("ResourceNotFoundException", 404, iot.describe_thing, thingName="py-4")


def device(iot, thing):
    """A certificate of the thing's own; answers its ARN."""
    made = iot.create_keys_and_certificate(setAsActive=True)
    arn, name = made["certificateArn"], made["certificateId"]
    assert made["keyPair"]["PrivateKey"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert made["keyPair"]["PublicKey"].startswith("-----BEGIN PUBLIC KEY-----")
    assert len(name) == 64 and arn.endswith(f":cert/{name}")
    (FOLDER / f"{thing}.cert.pem").write_text(made["certificatePem"])
    (FOLDER / f"{thing}.key.pem").write_text(made["keyPair"]["PrivateKey"])
    iot.attach_thing_principal(thingName=thing, principal=arn, thingPrincipalType="EXCLUSIVE_THING")
    iot.attach_policy(policyName=CLOUD["policy"], target=arn)
    return arn


def certificates(iot):
    thing, other = CLOUD["thing"], CLOUD["other"]
    arn, others = device(iot, thing), device(iot, other)
    name = arn.rsplit("/", 1)[1]
    described = iot.describe_certificate(certificateId=name)["certificateDescription"]
    assert described["status"] == "ACTIVE"
    assert described["validity"]["notAfter"].strftime("%Y-%m-%d") == "2049-12-31", described["validity"]
    refused("InvalidRequestException", 400, iot.attach_thing_principal, thingName=other, principal=arn)
    assert iot.list_thing_principals(thingName=thing)["principals"] == [arn]
    assert iot.list_principal_things(principal=arn)["things"] == [thing]
    attached = iot.list_attached_policies(target=arn)["policies"]
    assert [policy["policyName"] for policy in attached] == [CLOUD["policy"]], attached
    assert set(iot.list_targets_for_policy(policyName=CLOUD["policy"])["targets"]) == {arn, others}
    refused("CertificateStateException", 406, iot.delete_certificate, certificateId=name)
    iot.update_certificate(certificateId=name, newStatus="INACTIVE")
    refused("DeleteConflictException", 409, iot.delete_certificate, certificateId=name)
    iot.update_certificate(certificateId=name, newStatus="ACTIVE")
    refused("InvalidRequestException", 400, iot.delete_thing, thingName=thing)
    refused("ResourceNotFoundException", 404, iot.describe_certificate, certificateId="0" * 64)
    refused("ResourceNotFoundException", 404, iot.search_index, indexName="AWS_ThingGroups", queryString="*")
    refused("InvalidQueryException", 400, iot.search_index, queryString="no field")
    found = iot.search_index(queryString="attributes.n:3")["things"]
    assert [it["thingName"] for it in found] == ["py-3"], found
    pages = iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 1})
    listed = [entry["certificateArn"] for page in pages for entry in page["certificates"]]
    assert sorted(listed) == sorted([arn, others]), listed
    revoked = iot.create_keys_and_certificate(setAsActive=False)["certificateId"]
    iot.update_certificate(certificateId=revoked, newStatus="REVOKED")
    refused("CertificateStateException", 406, iot.update_certificate, certificateId=revoked, newStatus="ACTIVE")
    iot.delete_certificate(certificateId=revoked)
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]


def policies(iot):
    def document(action):
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    made = iot.create_policy(policyName="py", policyDocument=document("iot:Connect"))
    assert made["policyVersionId"] == "1", made
    refused("ResourceAlreadyExistsException", 409, iot.create_policy, policyName="py",
            policyDocument=document("iot:Connect"))
    refused("MalformedPolicyException", 400, iot.create_policy, policyName="bad", policyDocument="{")
    for number in range(2, 6):
        made = iot.create_policy_version(policyName="py", policyDocument=document("iot:Publish"), setAsDefault=True)
        assert made["policyVersionId"] == str(number), made
    refused("VersionsLimitExceededException", 409, iot.create_policy_version, policyName="py",
            policyDocument=document("iot:Publish"))
    refused("DeleteConflictException", 409, iot.delete_policy_version, policyName="py", policyVersionId="5")
    versions = iot.list_policy_versions(policyName="py")["policyVersions"]
    assert [version["versionId"] for version in versions if version["isDefaultVersion"]] == ["5"], versions
    refused("DeleteConflictException", 409, iot.delete_policy, policyName="py")
    for number in range(1, 5):
        iot.delete_policy_version(policyName="py", policyVersionId=str(number))
    iot.delete_policy(policyName="py")
    refused("ResourceNotFoundException", 404, iot.get_policy, policyName="py")


def rules(iot):
    payload = {"sql": "SELECT * FROM 'dt/#'", "actions": [{"republish": {"roleArn": "arn:aws:iam::123456789012:role/r",
                                                                         "topic": "copies"}}]}
    iot.create_topic_rule(ruleName="py_rule", topicRulePayload=payload)
    refused("ResourceAlreadyExistsException", 409, iot.create_topic_rule, ruleName="py_rule", topicRulePayload=payload)
    refused("SqlParseException", 400, iot.create_topic_rule, ruleName="py_bad",
            topicRulePayload={**payload, "sql": "SELECT FROM"})
    rule = iot.get_topic_rule(ruleName="py_rule")["rule"]
    assert (rule["sql"], rule["ruleDisabled"]) == (payload["sql"], False), rule
    iot.disable_topic_rule(ruleName="py_rule")
    assert iot.get_topic_rule(ruleName="py_rule")["rule"]["ruleDisabled"] is True
    iot.delete_topic_rule(ruleName="py_rule")


def https_door(iot):
    """The data plane by certificate: a thing reaches its own shadow, and no other's."""
    thing, other = CLOUD["thing"], CLOUD["other"]
    account = f"arn:aws:iot:{CLOUD['region']}:{CLOUD['accountId']}"
    for name in [thing, other]:
        statement = {"Effect": "Allow", "Action": ["iot:GetThingShadow", "iot:UpdateThingShadow",
                                                   "iot:DeleteThingShadow"],
                     "Resource": [f"{account}:thing/{name}", f"{account}:thing/{name}/*"]}
        iot.create_policy(policyName=f"https-{name}",
                          policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        iot.attach_policy(policyName=f"https-{name}", target=iot.list_thing_principals(thingName=name)["principals"][0])

    def door(name):
        files = (str(FOLDER / f"{name}.cert.pem"), str(FOLDER / f"{name}.key.pem"))
        return boto3.client("iot-data", endpoint_url=CLOUD["credentialProvider"], region_name=CLOUD["region"],
                            verify=CLOUD["caFile"],
                            config=Config(signature_version=UNSIGNED, client_cert=files,
                                          retries={"total_max_attempts": 1}))

    mine, state = door(thing), json.dumps({"state": {"reported": {"a": 1}}})
    door(other).update_thing_shadow(thingName=other, shadowName="door", payload=state)
    for name in [{}, {"shadowName": "door"}]:
        mine.update_thing_shadow(thingName=thing, payload=state, **name)
        got = json.loads(mine.get_thing_shadow(thingName=thing, **name)["payload"].read())
        assert got["state"] == {"reported": {"a": 1}}, got
        refused("ForbiddenException", 403, mine.get_thing_shadow, thingName=other, **name)
        refused("ForbiddenException", 403, mine.update_thing_shadow, thingName=other, payload=state, **name)
        refused("ForbiddenException", 403, mine.delete_thing_shadow, thingName=other, **name)
        mine.delete_thing_shadow(thingName=thing, **name)
    refused("ForbiddenException", 403, mine.list_named_shadows_for_thing, thingName=other)
    refused("ForbiddenException", 403, mine.publish, topic=f"$aws/things/{other}/shadow/name/door/update",
            payload=state)
    mine.publish(topic="dt/door", payload=b"1", qos=1)
    kept = json.loads(door(other).get_thing_shadow(thingName=other, shadowName="door")["payload"].read())
    assert kept["version"] == 1, kept


def credentials():
    """The credentials provider gives a thing its own credentials, and no other's."""
    thing, other = CLOUD["thing"], CLOUD["other"]

    def ask(certificate, name):
        tls = ssl.create_default_context(cafile=CLOUD["caFile"])
        tls.load_cert_chain(FOLDER / f"{certificate}.cert.pem", FOLDER / f"{certificate}.key.pem")
        url = f"{CLOUD['credentialProvider']}/role-aliases/{CLOUD['roleAlias']}/credentials"
        asked = urllib.request.Request(url, headers={"x-amzn-iot-thingname": name})
        try:
            return json.load(urllib.request.urlopen(asked, context=tls))["credentials"]
        except urllib.error.HTTPError as error:
            return error.code

    given = ask(thing, thing)
    sts = client("sts", key=given["accessKeyId"], secret=given["secretAccessKey"], token=given["sessionToken"])
    iot = client("iot")
    certificate = iot.list_thing_principals(thingName=thing)["principals"][0].rsplit("/", 1)[1]
    who = sts.get_caller_identity()
    assert who["Arn"].endswith(f":assumed-role/{CLOUD['roleAlias']}/{certificate}"), who
    assert ask(thing, other) == 403 and ask(other, thing) == 403
    refused("AccessDeniedException", 403,
            client("iot", key=given["accessKeyId"], secret=given["secretAccessKey"],
                   token=given["sessionToken"]).describe_thing, thingName=thing)


def shadows(data):
    def update(state, **more):
        answer = data.update_thing_shadow(thingName="py-0", shadowName="s",
                                          payload=json.dumps({"state": state, **more}))
        return json.loads(answer["payload"].read())

    def get():
        return json.loads(data.get_thing_shadow(thingName="py-0", shadowName="s")["payload"].read())

    error = refused("ResourceNotFoundException", 404, data.get_thing_shadow, thingName="py-0", shadowName="s")
    assert "No shadow exists with name" in str(error), error
    first = update({"desired": {"a": 1, "b": {"c": [1, 2]}}}, clientToken="t-1")
    assert first["version"] == 1 and first["clientToken"] == "t-1" and "metadata" in first
    update({"reported": {"a": 2}})
    document = get()
    assert document["state"]["delta"] == {"a": 1, "b": {"c": [1, 2]}}, document
    update({"desired": {"b": {"c": None, "d": [3]}}})
    assert get()["state"]["desired"] == {"a": 1, "b": {"d": [3]}}
    error = refused("ConflictException", 409, data.update_thing_shadow, thingName="py-0", shadowName="s",
                    payload=json.dumps({"state": {"desired": {"a": 9}}, "version": 1}))
    assert "Version conflict" in str(error), error
    refused("InvalidRequestException", 400, data.update_thing_shadow, thingName="py-0", shadowName="s",
            payload="{")
    refused("RequestEntityTooLargeException", 413, data.update_thing_shadow, thingName="py-0", shadowName="s",
            payload=json.dumps({"state": {"desired": {"a": "x" * 9000}}}))
    version = get()["version"]
    data.delete_thing_shadow(thingName="py-0", shadowName="s")
    refused("ResourceNotFoundException", 404, data.get_thing_shadow, thingName="py-0", shadowName="s")
    assert update({"desired": {"a": 1}})["version"] > version, "the version begins again after a delete"
    for name in ["n1", "n2", "n3"]:
        data.update_thing_shadow(thingName="py-0", shadowName=name, payload='{"state":{"reported":{"x":1}}}')
    names, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = data.list_named_shadows_for_thing(thingName="py-0", pageSize=2, **more)
        names += page["results"]
        token = page.get("nextToken")
        if not token:
            break
    assert sorted(names) == ["n1", "n2", "n3", "s"], names


def caller(sts):
    assert ":user/" in sts.get_caller_identity()["Arn"] or ":root" in sts.get_caller_identity()["Arn"]
    elsewhere = boto3.client("sts", endpoint_url=CLOUD["endpoint"], region_name="us-west-2",
                             aws_access_key_id=CLOUD["accessKeyId"], aws_secret_access_key=CLOUD["secretAccessKey"])
    refused("SignatureDoesNotMatch", 403, elsewhere.get_caller_identity)
    wrong = client("sts", secret="not the secret")
    refused("SignatureDoesNotMatch", 403, wrong.get_caller_identity)
    refused("InvalidClientTokenId", 403, client("sts", key="AKIAAAAAAAAAAAAAAAAA").get_caller_identity)


def objects(s3):
    bucket, body = CLOUD["bucket"], b"content " * 1000
    put = s3.put_object(Bucket=bucket, Key="py/one", Body=body, IfNoneMatch="*", Metadata={"a": "b"})
    assert put["VersionId"]
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="py/one", Body=b"x", IfNoneMatch="*")
    got = s3.get_object(Bucket=bucket, Key="py/one")
    assert got["Body"].read() == body and got["Metadata"] == {"a": "b"}
    part = s3.get_object(Bucket=bucket, Key="py/one", Range="bytes=8-15")
    assert part["Body"].read() == body[8:16] and part["ContentRange"] == f"bytes 8-15/{len(body)}"
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="py/none")
    wrong = "A" * 43 + "="
    refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="py/bad", Body=b"x", ChecksumSHA256=wrong)
    refused("404", 404, s3.head_object, Bucket=bucket, Key="py/bad")
    s3.copy_object(Bucket=bucket, Key="py/copy", CopySource={"Bucket": bucket, "Key": "py/one"})
    assert s3.head_object(Bucket=bucket, Key="py/copy")["ContentLength"] == len(body)
    big = bytes(range(256)) * 4096 * 6
    s3.upload_fileobj(io.BytesIO(big), bucket, "py/big",
                      Config=boto3.s3.transfer.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20))
    read = s3.get_object(Bucket=bucket, Key="py/big")["Body"].read()
    assert hashlib.sha256(read).digest() == hashlib.sha256(big).digest()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="py/", PaginationConfig={"PageSize": 1})
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    assert keys == ["py/big", "py/copy", "py/one"], keys
    s3.put_object(Bucket=bucket, Key="py/one", Body=b"second")
    versions = s3.list_object_versions(Bucket=bucket, Prefix="py/one")["Versions"]
    assert [version["IsLatest"] for version in versions] == [True, False], versions
    old = s3.get_object(Bucket=bucket, Key="py/one", VersionId=versions[1]["VersionId"])
    assert old["Body"].read() == body
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "py/copy"})
    assert urllib.request.urlopen(url).read() == body
    try:
        urllib.request.urlopen(url[:-4] + "0000")
        raise AssertionError("a presigned URL with another signature was served")
    except urllib.error.HTTPError as error:
        assert error.code == 403
    s3.delete_object(Bucket=bucket, Key="py/copy")
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="py/copy")


iot = client("iot")
things(iot)
certificates(iot)
policies(iot)
rules(iot)
https_door(iot)
credentials()
shadows(client("iot-data"))
caller(client("sts"))
objects(client("s3"))
print("ok")
