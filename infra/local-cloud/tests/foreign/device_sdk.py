"""The AWS IoT Device SDK v2 for Python against the local cloud, over mutual TLS.

argv[1] is JSON: the cloud's ready file and {"thing", "other"}. The folder argv[2] holds `{thing}.cert.pem` and
`{thing}.key.pem` of both.
"""

import concurrent.futures
import json
import pathlib
import queue
import sys
import threading

from awscrt import mqtt
from awsiot import iotshadow, mqtt_connection_builder

CLOUD = json.loads(sys.argv[1])
FOLDER = pathlib.Path(sys.argv[2])
THING, OTHER = CLOUD["thing"], CLOUD["other"]
ONCE = mqtt.QoS.AT_LEAST_ONCE
# Longer than anything here takes on a busy machine.
BOUND = 20


def connection(certificate, client_id=None, **more):
    return mqtt_connection_builder.mtls_from_path(
        endpoint=CLOUD["mqttHost"], port=CLOUD["mqttPort"], ca_filepath=CLOUD["caFile"],
        cert_filepath=str(FOLDER / f"{certificate}.cert.pem"), pri_key_filepath=str(FOLDER / f"{certificate}.key.pem"),
        client_id=client_id or certificate, keep_alive_secs=30, reconnect_min_timeout_secs=1,
        **{"clean_session": True, **more})


def connected(*arguments, **more):
    made = connection(*arguments, **more)
    made.connect().result(BOUND)
    return made


class Shadow:
    """One named shadow, by the SDK's own client, with its answers in queues."""

    def __init__(self, line, thing, name):
        self.client, self.thing, self.name = iotshadow.IotShadowClient(line), thing, name
        self.answers = {}
        for kind, request, subscribe in [
            ("accepted", iotshadow.UpdateNamedShadowSubscriptionRequest,
             self.client.subscribe_to_update_named_shadow_accepted),
            ("rejected", iotshadow.UpdateNamedShadowSubscriptionRequest,
             self.client.subscribe_to_update_named_shadow_rejected),
            ("delta", iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest,
             self.client.subscribe_to_named_shadow_delta_updated_events),
            ("documents", iotshadow.NamedShadowUpdatedSubscriptionRequest,
             self.client.subscribe_to_named_shadow_updated_events),
            ("got", iotshadow.GetNamedShadowSubscriptionRequest,
             self.client.subscribe_to_get_named_shadow_accepted),
            ("not got", iotshadow.GetNamedShadowSubscriptionRequest,
             self.client.subscribe_to_get_named_shadow_rejected),
            ("deleted", iotshadow.DeleteNamedShadowSubscriptionRequest,
             self.client.subscribe_to_delete_named_shadow_accepted),
        ]:
            self.answers[kind] = queue.Queue()
            subscribe(request(thing_name=thing, shadow_name=name), ONCE, self.answers[kind].put)[0].result(BOUND)

    def update(self, state, **more):
        self.client.publish_update_named_shadow(
            iotshadow.UpdateNamedShadowRequest(thing_name=self.thing, shadow_name=self.name, state=state, **more),
            ONCE).result(BOUND)

    def get(self, **more):
        self.client.publish_get_named_shadow(
            iotshadow.GetNamedShadowRequest(thing_name=self.thing, shadow_name=self.name, **more), ONCE).result(BOUND)

    def delete(self):
        self.client.publish_delete_named_shadow(
            iotshadow.DeleteNamedShadowRequest(thing_name=self.thing, shadow_name=self.name), ONCE).result(BOUND)

    def next(self, kind):
        return self.answers[kind].get(timeout=BOUND)


def own_shadow():
    line = connected(THING)
    shadow = Shadow(line, THING, "lan")
    shadow.get(client_token="early")
    missing = shadow.next("not got")
    assert (missing.code, missing.client_token) == (404, "early"), vars(missing)

    shadow.update(iotshadow.ShadowState(desired={"a": 1}, reported={"a": 2}), client_token="sdk-1")
    answer = shadow.next("accepted")
    assert (answer.client_token, answer.version) == ("sdk-1", 1), vars(answer)
    assert shadow.next("delta").state == {"a": 1}
    documents = shadow.next("documents")
    assert documents.current.version == 1 and documents.current.state.reported == {"a": 2}, vars(documents)

    shadow.update(iotshadow.ShadowState(reported={"a": 1}))
    documents = shadow.next("documents")
    assert (documents.previous.version, documents.current.version) == (1, 2)
    assert documents.previous.state.reported == {"a": 2} and documents.current.state.reported == {"a": 1}

    shadow.update(iotshadow.ShadowState(desired={"a": 3}), version=77, client_token="sdk-2")
    error = shadow.next("rejected")
    assert (error.code, error.client_token) == (409, "sdk-2"), vars(error)

    shadow.get()
    got = shadow.next("got")
    assert got.version == 2 and got.state.desired == {"a": 1} and got.state.delta is None, vars(got)
    assert set(got.metadata.reported) == {"a"}
    shadow.delete()
    shadow.next("deleted")
    line.disconnect().result(BOUND)


def persistent_session():
    """What was published at QoS 1 while its client was away comes when it is back."""
    arrived = queue.Queue()

    def take(topic, payload, **_):
        arrived.put((topic, payload))

    line = connected(THING, clean_session=False)
    line.subscribe("dt/kept", ONCE, take)[0].result(BOUND)
    line.disconnect().result(BOUND)
    talker = connected(OTHER)
    talker.publish("dt/kept", "while away", ONCE)[0].result(BOUND)
    talker.disconnect().result(BOUND)
    line = connection(THING, clean_session=False)
    line.on_message(take)
    assert line.connect().result(BOUND)["session_present"] is True
    assert arrived.get(timeout=BOUND) == ("dt/kept", b"while away")
    line.disconnect().result(BOUND)


def wills():
    """A taken-over connection leaves its will."""
    heard = queue.Queue()
    watcher = connected(OTHER)
    watcher.subscribe("dt/will", ONCE, lambda topic, payload, **_: heard.put(payload))[0].result(BOUND)
    first = connected(THING, will=mqtt.Will("dt/will", ONCE, b"gone", False))
    second = connected(THING)
    assert heard.get(timeout=BOUND) == b"gone"
    for line in [first, second, watcher]:
        line.disconnect().result(BOUND)


def others_topics():
    """Every way to another thing's topics is closed."""
    victim = connected(OTHER)
    shadow = Shadow(victim, OTHER, "lan")
    theirs = f"$aws/things/{OTHER}/shadow"
    for topic, payload in [
        (f"{theirs}/name/lan/update", json.dumps({"state": {"reported": {"a": 1}}})),
        (f"{theirs}/name/lan/get", ""),
        (f"{theirs}/name/lan/delete", ""),
        (f"{theirs}/update", json.dumps({"state": {"desired": {"a": 1}}})),
        (f"{theirs}/name/lan/update/accepted", "{}"),
        ("else/where", "x"),
    ]:
        interrupted = threading.Event()
        line = connected(THING, on_connection_interrupted=lambda interrupted=interrupted, **_: interrupted.set())
        line.publish(topic, payload, mqtt.QoS.AT_MOST_ONCE)
        assert interrupted.wait(BOUND), f"publishing to {topic} did not end the connection"
        line.disconnect().result(BOUND)
    line = connected(THING)
    for topic in [f"{theirs}/name/lan/update/accepted", f"{theirs}/#", "$aws/things/+/shadow/#", "#",
                  f"$aws/things/{THING}/../{OTHER}/shadow/#"]:
        try:
            granted = line.subscribe(topic, ONCE, lambda **_: None)[0].result(BOUND)["qos"]
        except concurrent.futures.TimeoutError:
            raise
        except Exception:  # the SDK raises a kind of its own for a failed SUBACK
            granted = None
        assert granted is None, f"{topic} was granted"
    line.disconnect().result(BOUND)
    shadow.get()
    assert shadow.next("not got").code == 404, "the other thing's shadow was reached"
    assert all(shadow.answers[kind].empty() for kind in ["accepted", "delta", "documents", "deleted"])
    victim.disconnect().result(BOUND)


def others_name():
    """A certificate connects as its own thing only, and leaves no will where it may not publish."""
    will = mqtt.Will(f"$aws/things/{OTHER}/shadow/name/lan/update", ONCE, b"{}", False)
    for refused in [connection(THING, OTHER), connection(THING, "nobody"), connection(THING, will=will)]:
        try:
            refused.connect().result(BOUND)
        except concurrent.futures.TimeoutError:
            raise
        except Exception:  # of awscrt's own kinds
            continue
        raise AssertionError("connected as what it is not")


own_shadow()
persistent_session()
wills()
others_topics()
others_name()
print("ok")
