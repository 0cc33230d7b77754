#!/usr/bin/env python3
"""ward audit ship against rsyslog, as hospitals run it: TLS with certificates of both sides, killed and started again.

usage: test_ship.py WARD RSYSLOGD      $WARD_TEST_KILLS: how often rsyslog is killed (4)"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from program import Data, PATIENCE

RSYSLOGD = sys.argv[2]
KILLS = int(os.environ.get("WARD_TEST_KILLS", "4"))

# Direct: a message is in the file when it has been read. With a queue in memory, a killed rsyslog loses what is in it.
CONFIG = """
global(workDirectory="{dir}" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{dir}/ca.pem"
       defaultNetstreamDriverCertFile="{dir}/log.pem" defaultNetstreamDriverKeyFile="{dir}/log.key")
main_queue(queue.type="Direct")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" PermittedPeer="ward.example")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}" listenPortFileName="{dir}/port")
action(type="omfile" file="{dir}/received" template="raw")
"""


def certificate(folder, file, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", folder / f"{file}.key",
                    "-out", folder / f"{file}.pem"], check=True, stderr=subprocess.DEVNULL)


class Rsyslog:
    def __init__(self, folder):
        self.dir, self.port, self.process = folder, 0, None

    def start(self):
        """Listens when it returns: where the system said, and later there again."""
        (self.dir / "port").unlink(missing_ok=True)
        (self.dir / "conf").write_text(CONFIG.format(dir=self.dir, port=self.port))
        with open(self.dir / "said", "ab") as said:
            self.process = subprocess.Popen([RSYSLOGD, "-n", "-i", "NONE", "-f", self.dir / "conf"], stdout=said, stderr=said)
        until = time.monotonic() + PATIENCE
        while not self.listens():
            assert self.process.poll() is None and time.monotonic() < until, (self.dir / "said").read_text()
            time.sleep(0.01)

    def listens(self):
        if self.port == 0:  # the file is written for a port that the system chose only
            text = (self.dir / "port").read_text() if (self.dir / "port").exists() else ""
            self.port = int(text or 0)
        if self.port:
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        return False

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


class Ship(Data):
    def setUp(self):
        super().setUp()
        for file, name in (("log", "localhost"), ("ward", "ward.example"), ("other", "other.example")):
            certificate(self.dir, file, name)
        (self.dir / "ca.pem").write_text("".join((self.dir / f).read_text() for f in ("log.pem", "ward.pem", "other.pem")))
        self.rsyslog = Rsyslog(self.dir)
        self.rsyslog.start()
        self.addCleanup(self.rsyslog.stop, signal.SIGKILL)

    def to(self, cert="ward"):
        return ["ship", "--to", f"localhost:{self.rsyslog.port}", "--ca", self.dir / "log.pem", "--cert", self.dir / f"{cert}.pem",
                "--cert-key", self.dir / f"{cert}.key"]

    def received(self):
        """Records by number, in the order of their first coming; the checkpoints' lines."""
        records, anchors = {}, []
        for line in (self.dir / "received").read_text().splitlines():
            seq, rest = re.fullmatch(r'<\d+>1 \S+ \S+ ward - \S+ \[ward@32473 seq="(\d+)".*\](.*)', line).groups()
            if rest:
                anchors.append(rest.strip() + "\n")
            else:
                self.assertEqual(records.setdefault(int(seq), line), line)
        return records, anchors

    def check_all_is_there(self):
        exported = self.ward("audit", "export", "--format", "syslog").splitlines()
        report = self.object("audit", *self.to())
        records, anchors = self.received()
        self.assertEqual(list(records), list(range(1, report["last"] + 1)))  # none missing, in order
        self.assertEqual(list(records.values())[:len(exported)], exported)
        # what rsyslog holds of the checkpoints is an anchors file, and so the proof of a tail that was cut off
        (self.dir / "anchors").write_text("".join(anchors))
        self.assertIn("nothing was changed", self.ward("audit", "verify", "--anchors", self.dir / "anchors"))
        return len(records)

    def test_everything_arrives_and_then_what_is_new(self):
        for i in range(5):
            self.ward("user", "add", f"user{i}", "--role", "nurse")
        first = self.object("audit", *self.to())
        self.assertEqual((first["records"], first["checkpoints"], first["connections"], first["failed"]), (7, 1, 1, 0))
        self.ward("audit", "checkpoint")
        self.assertRegex(self.ward("audit", *self.to()), r"sent 2 records and 1 checkpoints; the log server has them up to record 9")
        self.check_all_is_there()

    def test_what_cannot_be_is_a_sentence(self):
        self.ward("user", "add", "alice", "--role", "nurse")
        self.assertIn("--to HOST:PORT", self.why("audit", "ship", code=2))
        for to in ("", "[::1", "[::1]x", "a b", "localhost:", "localhost:x", "localhost:65536", "[::1]:"):
            self.assertRegex(self.why("audit", "ship", "--to", to, code=2), "^ward: .*expected .ADDRESS|^ward: the receiver")
        self.assertIn("go together", self.why("audit", "ship", "--to", "localhost", "--cert", self.dir / "ward.pem", code=2))
        self.assertIn("nonexistent", self.why("audit", "ship", "--to", "localhost", "--ca", "/nonexistent.pem", code=3))

    def test_rsyslog_refuses_who_is_not_permitted_and_nothing_counts_as_sent(self):
        self.ward("user", "add", "alice", "--role", "nurse")
        self.assertIn("broke off the connection", self.why("audit", *self.to("other"), code=1))
        self.assertFalse((self.dir / "received").exists())
        self.check_all_is_there()

    def test_following_through_kills_of_rsyslog_loses_nothing(self):
        rand, stop = random.Random(5), threading.Event()
        self.ward("user", "add", "first", "--role", "nurse")

        def follow():
            return subprocess.Popen(self.command("audit", *self.to(), "--follow", "--json"), stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE)

        ship = follow()

        def work():
            n = 0
            while not stop.is_set():
                n += 1
                self.ward("user", "add", f"user{n}", "--role", "nurse")

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for i in range(KILLS):
                time.sleep(rand.uniform(0.2, 1.2))
                self.rsyslog.stop(signal.SIGTERM if i % 3 == 2 else signal.SIGKILL)
                time.sleep(rand.uniform(0, 0.3))
                self.rsyslog.start()
                if i == KILLS // 2:  # the sender, too
                    ship.kill()
                    ship.communicate()
                    ship = follow()
        finally:
            stop.set()
            worker.join()
        want = self.object("audit", "list", "--last", "1")[0]["seq"]
        until = time.monotonic() + PATIENCE
        while not (self.dir / "received").exists() or max(self.received()[0], default=0) < want:
            self.assertLess(time.monotonic(), until, "what was recorded did not arrive")
            self.assertIsNone(ship.poll())
            time.sleep(0.1)
        ship.send_signal(signal.SIGTERM)
        out, said = ship.communicate(timeout=PATIENCE)
        self.assertEqual(ship.returncode, 0, said)
        report = json.loads(out)
        n = self.check_all_is_there()
        print(f"{KILLS} kills of rsyslog: {n} records, each there; {report['connections']} connections, {report['failed']} failed",
              file=sys.stderr)


unittest.main(argv=[sys.argv[0]])
