"""The ward that is tested, from outside: its commands, data directories, servers. For tests in Python, whose first argument is
the program:

    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

WARD = sys.argv[1]
PATIENCE = 300  # seconds, for what is done at once on a machine that is not busy
UNSAID = (b"CRP", b"nodule", b"sinus")  # what tests ask about: no server's log has a word of it


def environment(**more):
    """Ours, with nobody's own settings."""
    return {**os.environ, "HOME": "/nonexistent", **more}


def run(*args, stdin=b"", **env):
    """A command, whatever becomes of it."""
    return subprocess.run([WARD, *map(str, args)], input=stdin, capture_output=True, timeout=PATIENCE, env=environment(**env))


def answer(*args, **env):
    """What a command that must go well answers to --json."""
    r = run(*args, "--json", **env)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


@contextlib.contextmanager
def scripted(program, *replies):
    """The URL of tests/serve/scripted_server.c: a model that says the replies, in turn."""
    p = subprocess.Popen([program, *replies], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield f"http://127.0.0.1:{int(p.stdout.readline())}"
    finally:
        p.stdin.close()
        p.stdout.close()
        assert p.wait(PATIENCE) == 0


class Refused(Exception):
    """A reply that is not 200."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body.decode(errors='replace')}")
        self.status, self.body = status, body


class Server:
    """ward serve on a port that the system chose; it listens when this is made, and ends with end() or the "with" that it is in.

    Its log is read and kept, so that it never waits for us. key: of the requests that name no other. env: further variables."""

    def __init__(self, *options, key=None, **env):
        self.key, self.log = key, b""
        started = time.monotonic()
        self.process = subprocess.Popen([WARD, "serve", "--port", "0", "--json", *map(str, options)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**env))
        self.reader = threading.Thread(target=self._read_log)
        self.reader.start()
        head = b""
        while not ("\n" + head.decode()).endswith("\n}\n"):
            line = self.process.stdout.readline()
            if not line:
                self.end(signal.SIGKILL)
                raise AssertionError(self.log.decode())
            head += line
        self.ready_s = time.monotonic() - started
        # processor time until then, of all its threads: the same however busy the machine is
        user, system = (pathlib.Path("/proc") / str(self.process.pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
        self.ready_cpu_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        self.head = json.loads(head)
        self.port = self.head["port"]
        self.url = f"{'https' if '--tls-cert' in options else 'http'}://127.0.0.1:{self.port}"

    def _read_log(self):
        for line in self.process.stderr:
            self.log += line

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        self.end(signal.SIGKILL if error else signal.SIGTERM)

    def end(self, how=signal.SIGTERM):
        """Unless it is killed it must end well."""
        self.process.send_signal(how)
        try:
            status = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.reader.join()
            self.process.stdout.close()
            self.process.stderr.close()
        assert how == signal.SIGKILL or status == 0, (status, self.log)
        said = re.sub(rb"\bid=\S+", b"", self.log)  # drawn by chance: three letters come up
        for word in UNSAID:
            assert word not in said, self.log

    def ask(self, method, path, body=None, key=None):
        """Status, headers, body. Not over TLS."""
        headers = {"Authorization": f"Bearer {key or self.key}"} if key or self.key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            c.request(method, path, None if body is None else json.dumps(body), headers)
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def get(self, path, body=None, key=None):
        """The reply to what must go well; with a body it is POST."""
        status, _, text = self.ask("GET" if body is None else "POST", path, body, key)
        if status != 200:
            raise Refused(status, text)
        return json.loads(text)

    def fault(self, path, body, key=None):
        """Status, and OpenAI's error object."""
        status, _, text = self.ask("POST", path, body, key)
        assert status != 200, f"{path} {body} was taken"
        return status, json.loads(text)["error"]

    def metric(self, name, label="", key=None):
        """The sum of the samples of that name with that label, which must be there."""
        status, _, text = self.ask("GET", "/metrics", key=key)
        assert status == 200, text
        found = [float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines()
                 if line.split("{")[0].split(" ")[0] == name and label in line]
        assert found, (name, label, text)
        return sum(found)


class Data(unittest.TestCase):
    """Each test has a data directory of its own, which the first command that changes something makes."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ward-test-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.data = self.dir / "data"

    def command(self, *args):
        return [WARD, *map(str, args), "--data", str(self.data)]

    def _run(self, args, code, stdin, data):
        r = run(*args, *(["--data", self.data] if data else []), stdin=stdin)
        self.assertEqual(r.returncode, code, (args, r.stdout, r.stderr))
        if code:
            self.assertEqual(r.stderr.count(b"\n"), 1, r.stderr)
        return r

    def ward(self, *args, code=0, stdin=b"", data=True):
        """What a command printed. Where it must fail, it has said why in one line."""
        return self._run(args, code, stdin, data).stdout.decode()

    def why(self, *args, code, stdin=b"", data=True):
        """The line in which a command says why it failed."""
        return self._run(args, code, stdin, data).stderr.decode()

    def object(self, *args, **kw):
        return json.loads(self.ward(*args, "--json", **kw))

    def key(self, role, *options):
        """A key for the API, of a day."""
        return self.ward("key", "add", f"{role}-key", "--role", role, "--expires", "1d", *options).strip()

    def records(self, *options):
        """Of the audit, oldest first."""
        return self.object("audit", "list", "--last", "100000", *options)
