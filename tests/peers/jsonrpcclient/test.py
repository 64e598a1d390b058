"""PyPI jsonrpcclient: it builds requests and reads responses; websockets and httpx carry them to /rpc and POST /rpc."""

import json, os, sys, unittest, uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
from jsonrpcclient import Error, Ok, notification, parse, parse_json, request, request_json, notification_json, request_uuid
from websockets.sync.client import connect

ADDRESS = os.environ["FANFARE_ADDRESS"]
SOON = 10
CONCURRENT = 200


class Socket:
    """A connection to /rpc: `exchange` sends a text and answers the next response, keeping notifications apart."""

    def __init__(self):
        self.open = ExitStack()
        self.connection = self.open.enter_context(connect(f"ws://{ADDRESS}/rpc", subprotocols=["jsonrpc"]))
        self.notifications = []

    def send(self, text):
        self.connection.send(text)

    def receive(self):
        while True:
            message = json.loads(self.connection.recv(timeout=SOON))
            if isinstance(message, dict) and "method" in message:
                self.notifications.append(message)
            else:
                return message

    def exchange(self, text):
        self.send(text)
        return self.receive()

    def next_notification(self, method):
        while not any(n["method"] == method for n in self.notifications):
            self.notifications.append(json.loads(self.connection.recv(timeout=SOON)))
            assert "method" in self.notifications[-1], self.notifications[-1]
        found = next(n for n in self.notifications if n["method"] == method)
        self.notifications.remove(found)
        return found["params"]

    def close(self):
        self.open.close()


class Post:
    """POST /rpc."""

    def __init__(self):
        self.client = httpx.Client(timeout=SOON, limits=httpx.Limits(max_connections=20))

    def answer(self, text):
        return self.client.post(f"http://{ADDRESS}/rpc", content=text, headers={"content-type": "application/json"})

    def exchange(self, text):
        answer = self.answer(text)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def close(self):
        self.client.close()


class Common:
    """What both transports are asked."""

    def setUp(self):
        self.server = self.transport()
        self.addCleanup(self.server.close)

    def call(self, method, params=None):
        text = request_json(method, params) if params is not None else request_json(method)
        return parse(self.server.exchange(text))

    def result(self, method, params=None):
        response = self.call(method, params)
        self.assertIsInstance(response, Ok)
        return response.result

    def test_named_params(self):
        msg = 'quotes " and \\ and \0 and é and 😀'
        self.assertEqual(self.result("test.echo", {"msg": msg}), {"msg": msg})
        self.assertEqual(self.result("subtract", {"subtrahend": 23, "minuend": 42}), 19)

    def test_positional_params(self):
        self.assertEqual(self.result("test.echo", ["hello"]), {"msg": "hello"})
        self.assertEqual(self.result("subtract", (42, 23)), 19)
        self.assertEqual(self.result("sum", [1, 2, 4]), 7)

    def test_no_params(self):
        self.assertEqual(self.result("get_data"), ["hello", 5])

    def test_ids_come_back_as_they_were(self):
        made = request_uuid("get_data")
        self.assertEqual(parse(self.server.exchange(json.dumps(made))), Ok(["hello", 5], made["id"]))

    def test_errors_have_code_message_and_data(self):
        response = self.call("no.such.method")
        self.assertIsInstance(response, Error)
        self.assertEqual((response.code, response.message), (-32601, "Method not found"))
        response = self.call("test.example", {"field1": "ab", "field2": 5})
        data = {"field": "field1", "constraint": "min=3", "value": "ab", "message": "field1 must be at least 3 characters"}
        self.assertEqual((response.code, response.message, response.data), (-32602, "Invalid params", data))
        response = self.call("topic.publish", {"topic": f"peers/{uuid.uuid4()}", "payload": 1})
        self.assertTrue(-32099 <= response.code <= -32000)
        self.assertEqual(response.data["code"], "TOPIC_NOT_FOUND")
        response = self.call("test.panic")
        self.assertEqual(response.code, -32603)
        self.assertRegex(response.data["correlation_id"], "^[0-9a-f]{16}$")

    def test_broken_texts(self):
        response = parse(self.server.exchange('{"jsonrpc": "2.0", "method"'))
        self.assertEqual((response.code, response.id), (-32700, None))
        response = parse(self.server.exchange("[]"))
        self.assertEqual((response.code, response.id), (-32600, None))

    def test_batches(self):
        requests = [request("test.echo", {"msg": str(n)}) for n in range(50)]
        requests[10:10] = [notification("notify_hello", [7]), notification("no.such.method")]
        responses = {r.id: r for r in parse(self.server.exchange(json.dumps(requests)))}
        self.assertEqual(len(responses), 50)
        for made in requests:
            if "id" in made:
                self.assertEqual(responses[made["id"]], Ok(made["params"], made["id"]))


class OverSocket(Common, unittest.TestCase):
    transport = Socket

    def test_notifications_are_not_answered(self):
        self.server.send(notification_json("test.echo", {"msg": "unheard"}))
        self.server.send(notification_json("no.such.method"))
        self.server.send(notification_json("test.example", {"field1": "ab"}))
        self.server.send(json.dumps([notification("notify_sum", [1, 2]), notification("no.such.method")]))
        self.assertEqual(self.result("test.sleep", {"ms": 50}), {"ms": 50})
        self.assertEqual(self.result("test.echo", {"msg": "heard"}), {"msg": "heard"})

    def test_many_at_once(self):
        requests = [request("test.sleep", {"ms": 40 - n // 5}) if n % 10 == 0 else request("test.echo", {"msg": str(n)}) for n in range(CONCURRENT)]
        for made in requests:
            self.server.send(json.dumps(made))
        responses = {r.id: r for r in (parse(self.server.receive()) for _ in requests)}
        for made in requests:
            self.assertEqual(responses[made["id"]], Ok(made["params"], made["id"]))

    def test_welcome_and_events(self):
        self.assertRegex(self.server.next_notification("session.welcome")["session_code"], r"^[a-z]+-[a-z]+-\d+$")
        topic = f"peers/{uuid.uuid4()}"
        head = self.result("topic.subscribe", {"topic": topic})["offset"]
        publisher = Post()
        self.addCleanup(publisher.close)
        for n in range(1, 21):
            published = parse(publisher.exchange(request_json("topic.publish", {"topic": topic, "payload": {"n": n}})))
            self.assertEqual((published.result["offset"], published.result["delivered"]), (head + n, 1))
        for n in range(1, 21):
            event = self.server.next_notification("topic.event")
            self.assertEqual((event["topic"], event["offset"], event["payload"]), (topic, head + n, {"n": n}))


class OverPost(Common, unittest.TestCase):
    transport = Post

    def test_notifications_are_not_answered(self):
        for made in (notification("test.echo", {"msg": "unheard"}), notification("no.such.method"), [notification("notify_sum", [1, 2])] * 2):
            answer = self.server.answer(json.dumps(made))
            self.assertEqual((answer.status_code, answer.content), (204, b""))

    def test_many_at_once(self):
        def ask(n):
            made = request("test.echo", {"msg": str(n)})
            return parse_json(self.server.answer(json.dumps(made)).text) == Ok(made["params"], made["id"])

        with ThreadPoolExecutor(20) as pool:
            self.assertTrue(all(pool.map(ask, range(CONCURRENT))))


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    outcome = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(outcome.failures) + len(outcome.errors)
    print(f"jsonrpcclient: {outcome.testsRun - failed} passed, {failed} failed")
    sys.exit(0 if failed == 0 else 1)
