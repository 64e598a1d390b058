#!/usr/bin/env python3
"""Writes the vectors of this folder. Made from the contract alone, with Python's hashlib and the `cryptography` package, so that they judge the
Rust code rather than repeat it. Run in this folder; the output is the same each time.
"""
import base64, hashlib, json, struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


def pae(*pieces):
    return struct.pack("<Q", len(pieces)) + b"".join(struct.pack("<Q", len(p)) + p for p in pieces)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def kid(kind, key):
    return b64(hashlib.sha256(pae(b"fanfare/v1/kid", kind, key)).digest()[:16])


def half(username, devices):
    keys = b"".join(sorted(ik + ek for ik, ek in devices))
    h = hashlib.sha512(pae(b"fanfare/v1/safety-number", b"0", keys, username.encode())).digest()
    for _ in range(5199):
        h = hashlib.sha512(h + keys).digest()
    return "".join(f"{int.from_bytes(h[i:i + 5], 'big') % 100000:05}" for i in range(0, 30, 5))


class Device:
    def __init__(self, name, seed):
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ik" + seed).digest())
        self.ik = self.private.public_key().public_bytes_raw()
        self.ek = X25519PrivateKey.from_private_bytes(hashlib.sha256(b"ek" + seed).digest()).public_key().public_bytes_raw()

    def binding(self, server, user):
        text = pae(b"fanfare/v1/key-binding", server.encode(), user.encode(), self.name.encode(), self.ik, self.ek)
        return text, self.private.sign(text)


def write(name, about, **content):
    with open(f"{name}.json", "w") as out:
        json.dump({"about": about, **content}, out, indent=1, ensure_ascii=False)
        out.write("\n")


def keys(device):
    return {"ik": b64(device.ik), "ek": b64(device.ek)}


laptop, phone, bobs = Device("main", b"alice laptop"), Device("phone", b"alice phone"), Device("main", b"bob")
SERVER = "chat.example"

lists = [[], [b""], [b"test"], [b"", b""], [b"a", b"bc"], [b"ab", b"c"], ["ü".encode(), bytes(range(256))]]
write("pae", "PASETO's pre-authentication encoding; pieces and result in base64url",
      cases=[{"pieces": [b64(p) for p in pieces], "pae": b64(pae(*pieces))} for pieces in lists])

write("kid", "Key ids: base64url of the first 16 bytes of SHA-256(PAE('fanfare/v1/kid', kind, key))",
      cases=[{"kind": kind, "key": b64(key), "kid": kid(kind.encode(), key)} for d in (laptop, phone, bobs)
             for kind, key in (("ed25519", d.ik), ("x25519", d.ek))])

good = []
for user, d in (("alice", laptop), ("alice", phone), ("bob", bobs)):
    text, sig = d.binding(SERVER, user)
    good.append({"server_id": SERVER, "username": user, "device_id": d.name, **keys(d), "text": b64(text), "key_binding": b64(sig)})
first = good[0]
flipped = bytearray(base64.urlsafe_b64decode(first["key_binding"] + "=="))
flipped[40] ^= 1
order = 2**252 + 27742317777372353535851937790883648493
whole = base64.urlsafe_b64decode(first["key_binding"] + "==")
second_s = whole[:32] + ((int.from_bytes(whole[32:], "little") + order)).to_bytes(32, "little")
bad = [{**first, "why": why, **change} for why, change in (
    ("another server", {"server_id": "evil.example"}), ("another user", {"username": "bob"}), ("another device", {"device_id": "phone"}),
    ("another encryption key", {"ek": b64(phone.ek)}), ("another identity key", {"ik": b64(bobs.ik)}),
    ("the other device's signature", {"key_binding": good[1]["key_binding"]}), ("a flipped bit", {"key_binding": b64(bytes(flipped))}),
    ("S not reduced: a second spelling of the same signature", {"key_binding": b64(second_s)}),
    ("pieces moved", {"username": "alicem", "device_id": "ain"}), ("zeros", {"key_binding": b64(bytes(64))}))]
for case in bad:
    del case["text"]
write("key-binding", "Self-signed bindings: Ed25519(IK, PAE('fanfare/v1/key-binding', server_id, username, device_id, IK, EK)); good ones with their "
      "text, bad ones that must be refused", good=good, bad=bad)

chain, prev = [], bytes(32)
for n, (action, d, by) in enumerate((("add", laptop, None), ("rotate", phone, laptop), ("replace", bobs, None)), 1):
    sig = b"" if action == "replace" else d.binding(SERVER, "alice")[1]
    text = pae(b"fanfare/v1/key-log", SERVER.encode(), b"alice", str(n).encode(), action.encode(), d.ik, d.ek, sig, prev)
    rotation = by.private.sign(text) if by else b""
    h = hashlib.sha256(pae(b"fanfare/v1/key-log-entry", text, rotation)).digest()
    chain.append({"n": n, "action": action, **keys(d), "key_binding": b64(sig) or None, "prev_hash": b64(prev), "rotation": b64(rotation) or None,
                  "text": b64(text), "hash": b64(h)})
    prev = h
write("key-log", "A key log of three entries: added, rotated (signed by the key before), replaced (a lost key, nothing signed)",
      server_id=SERVER, username="alice", entries=chain)

people = {"alice": [laptop], "bob": [bobs], "carol": [phone, laptop]}
pairs = [("alice", "bob"), ("alice", "carol"), ("bob", "carol")]
write("safety-number", "60 digits for two users, the same in either order of users and of devices",
      cases=[{"a": {"username": a, "devices": [keys(d) for d in people[a]]}, "b": {"username": b, "devices": [keys(d) for d in people[b]]},
              "number": "".join(sorted((half(a, [(d.ik, d.ek) for d in people[a]]), half(b, [(d.ik, d.ek) for d in people[b]]))))}
             for a, b in pairs])

write("base64", "What is read as binary, in either alphabet, and what is refused",
      good=[{"text": t, "hex": h} for t, h in (("", ""), ("AA", "00"), ("AA==", "00"), ("-_-_", "fbffbf"), ("+/+/", "fbffbf"), ("AAE", "0001"), ("AAE=", "0001"))],
      bad=["A", "AA=", "AA===", "AB", "AAB", "AAF=", "=", "A A", "AA\n", " AA", "AA==AA", "AAEC=", "AA.A", "é"])
