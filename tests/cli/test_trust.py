#!/usr/bin/env python3
"""ward user, key, tenant and audit from outside: contracts, a chain checked without Ward, tampering, secrets.

usage: test_trust.py WARD"""
import hashlib
import json
import os
import pathlib
import pwd
import sqlite3
import stat
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from program import Data, run


class Trust(Data):
    def test_a_first_key_takes_one_command_and_is_seen_once(self):
        token = self.ward("key", "add", "pacs", "--role", "service", "--scope", "infer,files", "--expires", "90d").strip()
        self.assertRegex(token, r"^ward_[A-Za-z0-9_-]{43}$")
        keys = self.object("key", "list")
        self.assertEqual([(k["label"], k["role"], k["scopes"], k["state"], k["tenant"]) for k in keys],
                         [("pacs", "service", "infer,files", "active", "main")])
        for f in self.data.iterdir():
            self.assertNotIn(token.encode(), f.read_bytes(), f)
        self.assertEqual(stat.S_IMODE(self.data.stat().st_mode), 0o700)
        for name in ("ward.db", "audit.key"):
            self.assertEqual(stat.S_IMODE((self.data / name).stat().st_mode), 0o600)
        self.ward("key", "revoke", keys[0]["id"])
        self.assertEqual(self.object("key", "list")[0]["state"], "revoked")
        self.assertIn("no such key", self.why("key", "revoke", "k-000000000000", code=3))

    def test_accounts_have_roles_and_passwords_of_one_line(self):
        self.ward("user", "add", "alice", "--role", "clinician", "--password", stdin=b"correct horse battery\n")
        self.ward("user", "add", "bob", "--role", "nurse")
        self.assertIn("12 to 1024", self.why("user", "password", "bob", code=3, stdin=b"short\n"))
        self.ward("user", "password", "bob", stdin="这是一个很长的密码\n".encode())
        self.ward("user", "role", "bob", "--role", "reviewer")
        self.ward("user", "disable", "alice")
        users = {u["name"]: u for u in self.object("user", "list")}
        self.assertEqual((users["alice"]["active"], users["bob"]["active"]), (False, True))
        self.assertEqual(users["bob"]["role"], "reviewer")
        self.assertTrue(users["bob"]["password"])
        table = self.ward("user", "list").splitlines()
        self.assertEqual(table[0].split()[:3], ["name", "role", "tenant"])
        self.assertEqual(table[1].split()[:3], ["alice", "clinician", "main"])
        token = self.object("key", "add", "laptop", "--user", "bob")["key"]
        self.assertTrue(token.startswith("ward_"))
        actions = [r["action"] for r in self.object("audit", "list", "--subject", "local:" + pwd.getpwuid(os.getuid()).pw_name)]
        self.assertEqual(actions.count("user.change"), 3)

    def test_tenants_keep_their_own(self):
        self.ward("tenant", "add", "north", "--title", "北院", "--rate", "600", "--weight", "50")
        self.ward("tenant", "set", "north", "--weight", "200")
        north = [t for t in self.object("tenant", "list") if t["id"] == "north"][0]
        self.assertEqual((north["title"], north["per_min"], north["weight"], north["active"]), ("北院", 600, 200, True))
        self.ward("user", "add", "carol", "--role", "nurse", "--tenant", "north")
        self.assertIn("no such tenant: south", self.why("user", "add", "dave", "--role", "nurse", "--tenant", "south", code=3))

    def test_usage_is_one_sentence_and_makes_nothing(self):
        for args in (["user"], ["user", "add"], ["user", "add", "x"], ["user", "add", "x", "--role", "boss"], ["user", "list", "x"],
                     ["key"], ["key", "add", "x"], ["key", "add", "x", "--role", "service", "--user", "y"],
                     ["key", "add", "x", "--role", "service", "--expires", "soon"], ["tenant", "make", "x"], ["audit"],
                     ["audit", "show"], ["audit", "export", "--format", "xml"]):
            r = run(*args, "--data", self.data)
            self.assertIn(r.returncode, (2, 3), (args, r.stderr))
            self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)
        for args in (["audit", "list"], ["key", "list"], ["user", "disable", "x"], ["audit", "checkpoint"]):
            data = self.dir / "none"
            r = run(*args, "--data", data)
            self.assertEqual(r.returncode, 3)
            self.assertIn(b"no such data directory", r.stderr)
            self.assertFalse(data.exists())
        self.assertIn("Name", self.why("key", "add", "x", "--role", "service", "--scope", "Name", code=3))

    def fill(self):
        for i in range(12):
            self.ward("user", "add", f"user{i}", "--role", "nurse")

    def test_the_chain_can_be_checked_without_ward(self):
        self.fill()
        lines = [json.loads(x) for x in self.ward("audit", "export").splitlines()]
        raw = [x for x in self.ward("audit", "export").splitlines() if x.startswith('{"record":')]
        prev = "0" * 64
        for i, line in enumerate(raw):
            body = line[len('{"record":'):line.rindex(',"hash":"')]
            record, digest = json.loads(body), json.loads(line)["hash"]
            self.assertEqual((record["seq"], record["prev"]), (i + 1, prev))
            prev = hashlib.blake2b(b"ward audit record 1\n" + body.encode(), digest_size=32).hexdigest()
            self.assertEqual(prev, digest)
        self.assertEqual(lines[-1]["head"]["seq"], len(raw) - 1)  # the second export recorded itself, too
        report = self.object("audit", "verify")
        self.assertEqual((report["unchanged"], report["records"], report["last_digest"]), (True, len(raw), prev))

    def test_verify_exits_3_and_says_what_was_changed(self):
        self.fill()
        self.assertIn("nothing was changed", self.ward("audit", "verify"))
        db = sqlite3.connect(self.data / "ward.db")
        db.executescript("DROP TRIGGER audit_keeps; DELETE FROM audit WHERE seq = 5; DELETE FROM audit WHERE seq > 11")
        db.close()
        report = self.object("audit", "verify", code=3)
        self.assertFalse(report["unchanged"])
        self.assertIn("record 5 is missing", report["findings"])
        self.assertTrue(any("the last records are missing" in f for f in report["findings"]))
        self.assertIn("lost its last records", self.why("key", "add", "x", "--role", "service", code=3))

    def test_a_copy_and_an_export_verify_elsewhere(self):
        self.fill()
        away = self.dir / "away"
        away.mkdir()
        (away / "ward.db").write_bytes((self.data / "ward.db").read_bytes())
        (away / "key").write_bytes((self.data / "audit.pub").read_bytes())
        (away / "export.jsonl").write_text(self.ward("audit", "export"))
        (away / "ward.db").chmod(0o400)
        for args in (["--db", away / "ward.db"], ["--lines", away / "export.jsonl"]):
            self.assertIn("nothing was changed", self.ward("audit", "verify", *args, "--key", away / "key", data=False))
            self.ward("audit", "verify", *args, data=False, code=2)
        self.assertEqual(sorted(p.name for p in away.iterdir()), ["export.jsonl", "key", "ward.db"])
        (away / "key").write_text("00" * 32 + "\n")
        self.ward("audit", "verify", "--db", away / "ward.db", "--key", away / "key", data=False, code=3)
        text = (away / "export.jsonl").read_text().replace("user3", "user4")
        (away / "export.jsonl").write_text(text)
        self.assertIn("was changed", self.ward("audit", "verify", "--lines", away / "export.jsonl", "--key",
                                               self.data / "audit.pub", data=False, code=3))

    def test_syslog_lines_and_digests(self):
        self.ward("user", "add", "alice", "--role", "nurse")
        lines = self.ward("audit", "export", "--format", "syslog").splitlines()
        self.assertRegex(lines[1], r'^<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ ward - user\.add \[ward@32473 seq="2" .*'
                                   r'object="user:alice".*\]$')
        one = self.object("audit", "digest", stdin=b"a prompt")["digest"]
        self.assertEqual(one, self.object("audit", "digest", stdin=b"a prompt")["digest"])
        self.assertNotEqual(one, hashlib.blake2b(b"a prompt", digest_size=32).hexdigest())
        anchors = (self.data / "audit.anchors").read_text()
        made = self.ward("audit", "checkpoint")
        self.assertEqual((self.data / "audit.anchors").read_text(), anchors + made)

    def test_the_policy_is_printed_and_is_that_of_the_page(self):
        page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "trust.md").read_text()
        self.assertIn(self.ward("audit", "policy", data=False), page)
        rules = self.object("audit", "policy", data=False)
        chat = [r for r in rules if r["action"] == "chat.create"][0]
        self.assertEqual((chat["method"], chat["path"], chat["roles"]["auditor"], chat["roles"]["nurse"]),
                         ("POST", "/v1/chat/completions", "no", "tenant"))


unittest.main(argv=[sys.argv[0]])
