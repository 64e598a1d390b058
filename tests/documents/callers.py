"""Who calls in a run of schemathesis: FANFARE_CALLER is `user`, `admin` or `key`; nothing means the anonymous.
Loaded by SCHEMATHESIS_HOOKS.

A user is registered when there is none, and again when what was asked ended the login (a logout, a deletion), so that no
operation is asked only by a caller whose token is dead. Names count up: the same requests are made in every run.
"""
import itertools
import json
import os
import urllib.error
import urllib.request

import schemathesis

CALLER = os.environ.get("FANFARE_CALLER", "")
BASE = "http://" + os.environ["FANFARE_ADDRESS"]
PASSWORD = "a password of the judge"
NUMBERS = itertools.count(1)

# There from the beginning, since what is made up meets no name by chance: these take a part of every second sound request.
TOPIC = "judged"
USER = "judged-user"


def post(path, body):
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))


def prepare():
    post("/topics", {"name": TOPIC})
    post("/auth/register", {"username": USER, "password": PASSWORD})


def alive(name, value):
    try:
        urllib.request.urlopen(urllib.request.Request(BASE + "/stats", headers={name: value}), timeout=60).close()
        return True
    except urllib.error.HTTPError as error:
        return error.code != 401


class Login:
    """A caller and its header."""

    def __init__(self):
        self.current = None
        self.may_be_dead = False
        self.ours = set()
        self.refresh_token = self.password = None

    def fetch(self):
        if CALLER == "key":
            return "X-API-Key", os.environ["FANFARE_API_KEY"]
        if CALLER == "admin":
            who = {"username": "chief", "password": os.environ["FANFARE_ADMIN_PASSWORD"]}
        else:
            who = {"username": f"caller-{next(NUMBERS)}", "password": PASSWORD}
            post("/auth/register", who)
        granted = post("/auth/login", who)
        self.refresh_token, self.password = granted["refresh_token"], who["password"]
        return "Authorization", "Bearer " + granted["access_token"]

    def header(self):
        """Of a login that is alive."""
        if self.current is None or (self.may_be_dead and not alive(*self.current)):
            self.current = self.fetch()
            self.ours.add(self.current)
        self.may_be_dead = False
        return self.current


LOGIN = Login()
TURN = itertools.count()


def real(case):
    """Puts what exists into a sound request, which a made-up one never names."""
    body = case.body if isinstance(case.body, dict) else {}
    known = {
        ("POST", "/publish"): (body, "topic", TOPIC),
        ("POST", "/auth/login"): (body, "username", USER),
        ("POST", "/auth/refresh"): (body, "refresh_token", LOGIN.refresh_token),
        ("PUT", "/users/me/password"): (body, "current", LOGIN.password),
    }
    if "/users/{name}" in case.path:
        known[case.method, case.path] = (case.path_parameters, "name", USER)
    where, member, value = known.get((case.method, case.path), ({}, "", None))
    if member in where and value is not None:
        where[member] = value


prepare()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is not None and case.meta.generation.mode.is_positive and next(TURN) % 2 == 0:
        real(case)
    if CALLER:
        name, value = LOGIN.current
        if (name, case.headers.get(name)) in LOGIN.ours:
            name, value = LOGIN.header()
            case.headers[name] = value
    LOGIN.may_be_dead |= case.method != "GET"


@schemathesis.hook
def after_call(context, case, response):
    # What was known of the login holds no more: the next request is another user's.
    if CALLER == "user" and case.path in ("/auth/refresh", "/users/me/password") and response.status_code < 300:
        LOGIN.current = LOGIN.fetch()
        LOGIN.ours.add(LOGIN.current)


if CALLER:

    @schemathesis.auth(refresh_interval=None)
    class Auth:
        """Requests are made long before they are sent: what they have here is exchanged before the call."""

        def get(self, case, context):
            return LOGIN.current or LOGIN.header()

        def set(self, case, data, context):
            case.headers[data[0]] = data[1]
