"""The hot functions' own DynamoDB client: what it sends, what it keeps, when it tries again."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pce.store import signed_http
from pce.store.archive import Archive, ArchiveUnreadable
from pce.store.dynamodb import BATCH_ATTEMPTS, ConditionFailed, DynamoDB, DynamoDBError
from pce.store.endpoint import Credentials, Endpoint
from pce.store.signed_http import FIRST_WAIT_S, MAX_ATTEMPTS, SignedHttp, Unreachable
from pce_local.certificates import ensure_certificates, server_context
from pce_local.state_dir import StateDir
from tests.fakes.installation import REGION, Requests, fake_aws, installed
from tests.fakes.scripted_server import DIE, HANG, ScriptedServer

FINE = (200, b"{}")
ZEROS, ALL = bytes(16), bytes(range(256))
KEY = {"p": {"S": "1#00"}, "v": {"B": ZEROS}}


@pytest.fixture(autouse=True)
def closed_at_the_end(monkeypatch) -> Iterator[None]:
    """A function keeps its connections until its process ends; a test must not."""
    opened = []
    connect = http.client.HTTPConnection.connect

    def noted(connection):
        opened.append(connection)
        connect(connection)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", noted)
    yield
    for connection in opened:
        connection.close()


def endpoint(url="", ca_file=""):
    return Endpoint(REGION, Credentials("AKIATEST", "secret", "token"), url, ca_file)


def refusal(code, status=400):
    body = b'{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"because"}'
    return status, body % code.encode()


def get(database):
    return database.call("GetItem", TableName="presence", Key=KEY)


class Waits(list):
    """Stands in for ``sleep``."""

    def __call__(self, seconds):
        self.append(seconds)


def test_values_come_back_as_they_went():
    """Text, numbers and any bytes survive the wire, and other clients read the same."""
    with installed() as stores:
        item = {**KEY, "te": {"S": 'ü"\n'}, "hb": {"N": "18446744073709551615"}}
        item["th"] = {"B": ALL}
        stores.dynamodb.call("PutItem", TableName="presence", Item=item)
        read = get(stores.dynamodb).item
    assert read["te"].S == 'ü"\n' and read["hb"].N == "18446744073709551615"
    assert read["th"].B == ALL and read["v"].B == ZEROS


def test_pages_are_read_to_the_last():
    """Every item of a query comes once, over one request a page."""
    with installed() as stores:
        for number in range(5):
            key = {"p": {"S": "1#00"}, "v": {"B": bytes([number])}}
            stores.dynamodb.call("PutItem", TableName="presence", Item=key)
        with Requests(stores) as requests:
            pages = stores.dynamodb.pages(
                "Query",
                TableName="presence",
                KeyConditionExpression="p = :p",
                ExpressionAttributeValues={":p": {"S": "1#00"}},
                Limit=2,
            )
            found = [item["v"].B for page in pages for item in page]
    assert found == [bytes([number]) for number in range(5)]
    assert requests.counts == {"Query": 3}


def test_batches_are_cut_to_what_dynamodb_takes():
    """25 items a write and 100 keys a read; keys without an item are left out."""
    items = [{"p": {"S": "1#00"}, "v": {"B": n.to_bytes(2, "big")}} for n in range(120)]
    with installed() as stores, Requests(stores) as requests:
        stores.dynamodb.put_all("presence", items[:60])
        found = stores.dynamodb.get_all("presence", items, strongly=True)
    assert requests.counts == {"BatchWriteItem": 3, "BatchGetItem": 2}
    assert sorted(item["v"].B for item in found) == [item["v"]["B"] for item in items[:60]]


def test_what_a_batch_left_undone_is_asked_for_again():
    """DynamoDB may do a part of a batch: only the rest is sent again, after a wait."""
    waits = Waits()
    rest = b'{"t":{"Keys":[{"pk":{"S":"b"}}]}}'
    first = b'{"Responses":{"t":[{"pk":{"S":"a"}}]},"UnprocessedKeys":%s}' % rest
    second = b'{"Responses":{"t":[{"pk":{"S":"b"}}]}}'
    with ScriptedServer([(200, first), (200, second)]).running() as server:
        database = DynamoDB(endpoint(server.url), waits)
        found = database.get_all("t", [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}])
    assert [item["pk"].S for item in found] == ["a", "b"]
    assert server.requests[1].endswith(b'{"RequestItems":%s}' % rest)
    assert len(waits) == 1


def test_a_batch_that_is_never_done_is_an_error():
    """A throttled table must not look like an empty one."""
    undone = b'{"UnprocessedItems":{"t":[{"PutRequest":{"Item":{"pk":{"S":"a"}}}}]}}'
    with ScriptedServer([(200, undone)]).running() as server:
        database = DynamoDB(endpoint(server.url), Waits())
        with pytest.raises(DynamoDBError, match="throttled"):
            database.put_all("t", [{"pk": {"S": "a"}}])
    assert len(server.requests) == BATCH_ATTEMPTS


def test_a_transaction_whose_answer_was_lost_is_done_once():
    """It is sent again with its token: success, although its own conditions no longer hold."""
    put = {"TableName": "presence", "Item": KEY, "ConditionExpression": "attribute_not_exists(p)"}
    with installed() as stores:
        for _ in range(2):
            stores.dynamodb.call(
                "TransactWriteItems", TransactItems=[{"Put": put}], ClientRequestToken="once"
            )
        with pytest.raises(DynamoDBError, match="ConditionalCheckFailed"):
            stores.dynamodb.call(
                "TransactWriteItems", TransactItems=[{"Put": put}], ClientRequestToken="again"
            )


def test_a_failed_condition_is_told_from_other_refusals():
    """Neither is tried again: the answer would be the same."""
    with installed() as stores, Requests(stores) as requests:
        with pytest.raises(ConditionFailed):
            stores.dynamodb.call(
                "UpdateItem",
                TableName="presence",
                Key=KEY,
                UpdateExpression="SET hb = :n",
                ConditionExpression="attribute_exists(p)",
                ExpressionAttributeValues={":n": {"N": "1"}},
            )
        with pytest.raises(DynamoDBError) as error:
            stores.dynamodb.call("GetItem", TableName="nowhere", Key=KEY)
    assert not isinstance(error.value, ConditionFailed)
    assert error.value.code == "ResourceNotFoundException"
    assert requests.counts == {"UpdateItem": 1, "GetItem": 1}


def test_a_thread_keeps_one_connection():
    """A call costs no handshake, and threads never share a socket."""
    with ScriptedServer([FINE]).running() as server:
        database = DynamoDB(endpoint(server.url))

        def work():
            for _ in range(3):
                get(database)

        work()
        assert server.connections == 1
        other = threading.Thread(target=work)
        other.start()
        other.join()
    assert (server.connections, len(server.requests)) == (2, 6)


def test_a_connection_that_died_while_idle_is_replaced_at_once():
    """An environment that slept finds its connection closed; that costs a handshake, no wait."""
    waits = Waits()
    with ScriptedServer([(*FINE, "close"), FINE]).running() as server:
        database = DynamoDB(endpoint(server.url), waits)
        get(database)
        get(database)
    assert (server.connections, waits) == (2, [])


@pytest.mark.parametrize(
    "trouble",
    [
        refusal("ThrottlingException"),
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalServerError", 500),
        (503, b"<html>"),
        DIE,
        (200, b"{}", "close"),
    ],
)
def test_what_passes_is_tried_again(trouble):
    """Throttling, faults and lost replies: the good answer comes, after jittered waits."""
    waits = Waits()
    with ScriptedServer([trouble, trouble, FINE]).running() as server:
        assert get(DynamoDB(endpoint(server.url), waits)).item is None
    assert len(waits) == len(server.requests) - 1
    assert all(0 <= wait <= FIRST_WAIT_S * 2**n for n, wait in enumerate(waits))


def test_a_lasting_fault_is_reported_after_the_last_attempt():
    """The error names operation, code and message; four requests, three waits, no more."""
    waits = Waits()
    with ScriptedServer([refusal("InternalServerError", 500)]).running() as server:
        with pytest.raises(DynamoDBError, match=r"GetItem: InternalServerError: because"):
            get(DynamoDB(endpoint(server.url), waits))
        assert (len(server.requests), len(waits)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)


def test_an_answer_that_is_not_dynamodb_s_is_shown():
    """A gateway's error page is named with its status, not as broken JSON."""
    with (
        ScriptedServer([(418, b"<html>teapot")]).running() as server,
        pytest.raises(DynamoDBError, match=r"HTTP status 418.*teapot"),
    ):
        get(DynamoDB(endpoint(server.url)))


def test_silence_ends(monkeypatch):
    """A server that never answers is given up after the read time-out of each attempt."""
    monkeypatch.setattr(signed_http, "READ_TIMEOUT_S", 0.05)
    with ScriptedServer([FINE, HANG]).running() as server:
        database = DynamoDB(endpoint(server.url), Waits())
        get(database)
        with pytest.raises(Unreachable, match=server.url.removeprefix("http://")):
            get(database)
        # The first attempt goes over the kept connection: its silence is no closed connection.
        assert (len(server.requests), server.connections) == (1 + MAX_ATTEMPTS, MAX_ATTEMPTS)


def test_no_attempt_begins_late(monkeypatch):
    """A function must answer before Lambda ends it, so a slow trouble is tried less often."""
    monkeypatch.setattr(signed_http, "LAST_START_S", -1)
    with ScriptedServer([DIE]).running() as server:
        with pytest.raises(Unreachable):
            get(DynamoDB(endpoint(server.url), Waits()))
        assert len(server.requests) == 1


def test_nobody_there():
    """A wrong endpoint is named in the error."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=rf"127\.0\.0\.1:{port}.*endpoint"):
        get(DynamoDB(endpoint(f"http://127.0.0.1:{port}"), Waits()))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://localhost/prefix"])
def test_an_endpoint_that_cannot_be_meant_is_refused(url):
    """Before any request: a path would be signed and then ignored."""
    with pytest.raises(ValueError, match="http"):
        SignedHttp("dynamodb", endpoint(url))


def test_the_requests_of_s3():
    """An object's bytes; None without one; an error that says which when the bucket is missing."""
    with installed() as stores:
        stores.archive.put("directories/1 ü", b"\x00\xff")
        assert stores.archive.get("directories/1 ü") == b"\x00\xff"
        assert stores.archive.get("directories/2") is None
        with pytest.raises(
            ArchiveUnreadable, match=r"(?s)s3://nowhere/directories/1.*NoSuchBucket"
        ):
            Archive("nowhere", endpoint(fake_aws().url)).get("directories/1")


class Authority:
    """A certificate authority in a folder, and a server certificate for some name."""

    def __init__(self, folder, name):
        state = StateDir(folder)
        state.tls.mkdir(parents=True)
        self.file = str(ensure_certificates(state.tls, {name}, datetime.now(UTC)))
        self.context = server_context(state.tls)


def test_tls_is_verified(tmp_path, monkeypatch):
    """Only a chain to the trusted certificates, for this very host name, hears anything of us."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    good = Authority(tmp_path / "good", "127.0.0.1")
    other_name = Authority(tmp_path / "name", "example.org")
    with ScriptedServer([FINE], good.context).running() as server:
        assert get(DynamoDB(endpoint(server.url, good.file))).item is None
        for ca_file in ("", other_name.file):
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                get(DynamoDB(endpoint(server.url, ca_file), Waits()))
        assert len(server.requests) == 1
    with ScriptedServer([FINE], other_name.context).running() as server:
        with pytest.raises(Unreachable, match=r"not valid for '127\.0\.0\.1'"):
            get(DynamoDB(endpoint(server.url, other_name.file), Waits()))
        assert not server.requests


def test_tls_cannot_be_left(tmp_path):
    """After a handshake that failed, the next attempt begins with a handshake too: a signature is
    never sent in the clear."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(5))

        threading.Thread(target=listen, daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable):
            get(DynamoDB(endpoint(f"https://127.0.0.1:{port}"), Waits()))
        listener.shutdown(socket.SHUT_RDWR)
    handshake = b"\x16\x03"
    assert len(heard) == MAX_ATTEMPTS and all(one.startswith(handshake) for one in heard)


def test_the_machine_s_certificates_are_used_by_default():
    """Without AWS_CA_BUNDLE: chain and host name are checked against what the machine trusts."""
    tls = SignedHttp("dynamodb", endpoint())._tls
    assert tls.verify_mode == ssl.CERT_REQUIRED and tls.check_hostname
