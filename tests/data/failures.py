"""Makes the corpus of failures, ``failures.jsonl``, by running real programs that fail.

Each kind of failure is a program with places for what varies: ``@int@``, ``@word@``, ``@path@``.
Each variant runs it with other values, in another folder, and with other line numbers. A line of
the corpus has the kind's label and the ``data`` that a client would send.

    python tests/data/failures.py --python BIN --ruby BIN --postgresql URL

The interpreter of ``--python`` needs psycopg, requests, Django and Celery. ``--only LABEL`` prints
the variants of one kind instead of writing the file.
"""

# ruff: noqa: E501 (a program takes few lines)

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VARIANTS = 7
FILE = Path(__file__).with_suffix(".jsonl")
FOLDERS = ("/srv/app", "/home/deploy/app", "/opt/jobs/current", "/app", "/var/lib/worker/code")
WORDS = ("alice", "bob", "invoices", "Ärger", "north-west", "blue", "x", "ACME Ltd", "last_week")
STRING_ONLY = """
import runpy, sys
try:
    runpy.run_path("job.py", run_name="__main__")
except Exception as error:
    sys.stderr.write(str(error))
"""


@dataclass(frozen=True)
class Kind:
    """A program that always fails in the same way."""

    label: str
    source: str
    runs: str = "python"
    """python, node, java, ruby or sh."""
    field: str = "exception"
    """The field of the text; ``str`` sends only the exception's message, as the SDK does."""
    file: str = ""


def python(label: str, source: str, **more: Any) -> Kind:
    return Kind(label, source, "python", **{"file": "job.py", **more})


def node(label: str, source: str, **more: Any) -> Kind:
    return Kind(label, source, "node", **{"file": "job.js", "field": "stderr", **more})


def shell(label: str, source: str, **more: Any) -> Kind:
    return Kind(label, source, "sh", **{"file": "run.sh", "field": "stderr", **more})


def java(label: str, source: str) -> Kind:
    return Kind(label, source, "java", "stderr", "Job.java")


def ruby(label: str, source: str) -> Kind:
    return Kind(label, source, "ruby", "stderr", "job.rb")


CELERY = """
from celery import Celery, signals
from celery.app.trace import build_tracer
import sys
app = Celery("jobs", broker="memory://", backend="disabled")
@signals.task_retry.connect
@signals.task_failure.connect
def show(einfo=None, **_):
    sys.stderr.write(str(einfo))
{body}
def main():
    trace = build_tracer({name}.name, {name}, app=app)
    request = {{"id": "@uuid@", "retries": @attempt@, "delivery_info": {{}}, "args": [], "kwargs": {{}}}}
    trace("@uuid@", (), {{}}, request)
main()
"""
GROUP = """
import asyncio
async def {first}(row):
    await asyncio.sleep(0)
    {fails}
async def main():
    async with asyncio.TaskGroup() as group:
        for row in range(@small@):
            group.create_task({first}(row))
asyncio.run(main())
"""
POSTGRESQL = """
import psycopg
def {name}(connection):
    {does}
with psycopg.connect("@postgresql@") as connection:
    connection.execute("CREATE TEMP TABLE account (id int PRIMARY KEY, name text NOT NULL)")
    connection.execute("INSERT INTO account VALUES (@int@, 'a')")
    {name}(connection)
"""
DJANGO = """
import django
from django.conf import settings
settings.configure(DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}})
django.setup()
from django.db import connection, models
class Account(models.Model):
    name = models.CharField(max_length=10, unique=True)
    class Meta:
        app_label = "shop"
with connection.schema_editor() as editor:
    editor.create_model(Account)
def {name}():
    {does}
{name}()
"""
POOL = """
from concurrent.futures import ProcessPoolExecutor
def {name}(row):
    {fails}
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        print(list(pool.map({name}, [@int@])))
"""
KINDS = (
    python("int-price", "def read_price(text):\n    return int(text)\n\nread_price('@word@')"),
    python("int-count", "def read_count(text):\n    return int(text)\n\nread_count('@word@')"),
    python(
        "int-price-other-file",
        "import prices\nprices.read_price('@word@')\n"
        "#--- prices.py\ndef read_price(text):\n    return int(text)",
    ),
    python("key-customer", "def find(rows):\n    return rows['@word@']\n\nfind({'a': 1})"),
    python("key-order", "def load(rows):\n    return rows['@word@']\n\nload({'a': 1})"),
    python("key-number", "def by_id(rows):\n    return rows[@int@]\n\nby_id({})"),
    python("zero", "def average(rows):\n    return sum(rows) / len(rows)\n\naverage([])"),
    python("attribute", "def show(user):\n    return user.name_@int@\n\nshow(None)"),
    python("assert", "def check(total):\n    assert total == @int@, f'total is {total}'\n\ncheck(-1)"),
    python("assert-bare", "def verify(total):\n    assert total == @int@\n\nverify(-1)"),
    python("recursion", "def walk(node):\n    return walk([node, @int@])\n\nwalk(1)"),
    python("open-missing", "def load(path):\n    return open(path).read()\n\nload('@path@')"),
    python("json", "import json\ndef parse(text):\n    return json.loads(text)\n\nparse('[@int@, @word@')"),
    python(
        "json-dump", "import json\ndef dump(x):\n    return json.dumps(x)\n\ndump({'@word@': {1, @int@}})"
    ),
    python(
        "csv",
        "import csv\ndef rows(text):\n    return list(csv.DictReader(text, strict=True))\n\n"
        "rows(['a,b', '\"@word@\"x,@int@'])",
    ),
    python(
        "sqlite-table",
        "import sqlite3\ndef count(name):\n    sqlite3.connect(':memory:').execute(f'SELECT 1 FROM {name}')\n\n"
        "count('orders')",
    ),
    python(
        "sqlite-unique",
        "import sqlite3\ndef save(db, key):\n    db.execute('INSERT INTO t VALUES (?)', (key,))\n\n"
        "db = sqlite3.connect(':memory:')\ndb.execute('CREATE TABLE t (id INTEGER PRIMARY KEY)')\n"
        "save(db, @int@)\nsave(db, @int@)",
    ),
    python(
        "url-refused",
        "import urllib.request\ndef fetch(url):\n    return urllib.request.urlopen(url, timeout=2)\n\n"
        "fetch('http://127.0.0.1:@port@/@hex@')",
    ),
    python(
        "socket-refused",
        "import socket\ndef connect(port):\n    return socket.create_connection(('127.0.0.1', port), 2)\n\n"
        "connect(@port@)",
    ),
    python(
        "http-404",
        "import http.server, threading, urllib.request\n"
        "class Server(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n"
        "        self.send_error(404)\n    def log_message(self, *_): pass\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Server)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "def download(url):\n    return urllib.request.urlopen(url)\n\n"
        "download(f'http://127.0.0.1:{server.server_port}/@int@')",
    ),
    python(
        "requests-404",
        "import http.server, threading, requests\n"
        "class Server(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n"
        "        self.send_error(404)\n    def log_message(self, *_): pass\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), Server)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "def get_page(url):\n    requests.get(url).raise_for_status()\n\n"
        "get_page(f'http://127.0.0.1:{server.server_port}/@int@')",
    ),
    python(
        "requests-refused",
        "import requests\ndef notify(url):\n    requests.post(url, json={'id': @int@}, timeout=2)\n\n"
        "notify('http://127.0.0.1:@port@/hooks/@hex@')",
    ),
    python(
        "requests-schema", "import requests\ndef get(url):\n    return requests.get(url)\n\nget('@word@/@int@')"
    ),
    python(
        "ssl",
        "import ssl\ndef context(path):\n    ssl.create_default_context().load_cert_chain(path)\n\n"
        "open('@hex@.pem', 'w').write('@word@')\ncontext('@hex@.pem')",
    ),
    python(
        "zip",
        "import io, zipfile\ndef unpack(data):\n    return zipfile.ZipFile(io.BytesIO(data))\n\n"
        "unpack(b'@int@' * @small@)",
    ),
    python(
        "process-failed",
        "import subprocess\ndef convert(path):\n    subprocess.run(['ls', path], check=True, stderr=-3)\n\n"
        "convert('@path@')",
    ),
    python(
        "process-timeout",
        "import subprocess\ndef wait(seconds):\n    subprocess.run(['sleep', '9'], timeout=seconds)\n\n"
        "wait(0.0@small@)",
    ),
    python(
        "date", "from datetime import datetime\ndef day(text):\n    return datetime.strptime(text, '%Y-%m-%d')\n\n"
        "day('@word@')",
    ),
    python("decimal", "from decimal import Decimal\ndef money(text):\n    return Decimal(text)\n\nmoney('@word@')"),
    python("unicode", "def decode(data):\n    return data.decode()\n\ndecode(b'@int@' + bytes([200 + @small@]))"),
    python("import", "def plug(name):\n    return __import__(name)\n\nplug('shop_@hex@')"),
    python("syntax", "#--- settings.py\nLIMIT = @int@\ndef broken(:\n    pass\n#--- job.py\nimport settings"),
    python(
        "own-exception",
        "class PaymentDeclined(Exception):\n    pass\n\ndef pay(order):\n"
        "    raise PaymentDeclined(f'order {order} of @email@ was declined')\n\npay(@int@)",
    ),
    python(
        "own-exception-elsewhere",
        "class PaymentDeclined(Exception):\n    pass\n\ndef refund(order):\n"
        "    raise PaymentDeclined(f'order {order} of @email@ was declined')\n\nrefund(@int@)",
    ),
    python(
        "note",
        "def attach(row):\n    try:\n        raise ValueError('row is not valid')\n"
        "    except ValueError as error:\n        error.add_note(f'row {row} of @path@')\n        raise\n\nattach(@int@)",
    ),
    python(
        "chained-key",
        "class ImportFailed(Exception):\n    pass\n\ndef run(row):\n    try:\n        row['@word@']\n"
        "    except Exception as error:\n        raise ImportFailed('cannot import row @int@') from error\n\nrun({})",
    ),
    python(
        "chained-type",
        "class ImportFailed(Exception):\n    pass\n\ndef run(row):\n    try:\n        row + @int@\n"
        "    except Exception as error:\n        raise ImportFailed('cannot import row @int@') from error\n\nrun({})",
    ),
    python(
        "while-handling",
        "def close(handle):\n    raise RuntimeError('handle @hex@ is closed')\n\ntry:\n    [].pop(@int@)\n"
        "except IndexError:\n    close(1)",
    ),
    python("group-value", GROUP.format(first="convert", fails="int(f'@word@{row}')")),
    python("group-key", GROUP.format(first="look_up", fails="{}[f'@word@{row}']")),
    python(
        "async-timeout",
        "import asyncio\nasync def poll():\n    async with asyncio.timeout(0.0@small@):\n        await asyncio.sleep(5)\n\n"
        "asyncio.run(poll())",
    ),
    python("pool-value", POOL.format(name="scale", fails="raise ValueError(f'row {row} of @word@')")),
    python("pool-type", POOL.format(name="join", fails="return 'a' + row")),
    python(
        "threads",
        "from concurrent.futures import ThreadPoolExecutor\ndef fetch_page(n):\n"
        "    raise LookupError(f'page {n} has moved')\n\nwith ThreadPoolExecutor() as pool:\n"
        "    pool.submit(fetch_page, @int@).result()",
    ),
    python("pg-table", POSTGRESQL.format(name="count", does="connection.execute('SELECT @int@ FROM orders')")),
    python(
        "pg-unique",
        POSTGRESQL.format(
            name="insert", does="connection.execute(\"INSERT INTO account VALUES (@int@, 'b')\")"
        ),
    ),
    python(
        "pg-null",
        POSTGRESQL.format(
            name="insert", does='connection.execute("INSERT INTO account VALUES (-@int@, NULL)")'
        ),
    ),
    python("pg-syntax", POSTGRESQL.format(name="select", does="connection.execute('SELEC @int@')")),
    python(
        "pg-refused",
        "import psycopg\ndef connect(port):\n    psycopg.connect(host='127.0.0.1', port=port)\n\nconnect(@port@)",
    ),
    python("django-missing", DJANGO.format(name="find", does="Account.objects.get(pk=@int@)")),
    python(
        "django-unique",
        DJANGO.format(
            name="create", does="[Account.objects.create(name='@word@') for _ in range(2)]"
        ),
    ),
    python(
        "django-invalid", DJANGO.format(name="clean", does="Account(name='@hex@' * 2).full_clean()")
    ),
    python(
        "celery-value",
        CELERY.format(
            name="bill",
            body="def price(text):\n    return int(text)\n\n"
            "@app.task(bind=True, max_retries=3)\ndef bill(self):\n    try:\n        price('@word@')\n"
            "    except ValueError as error:\n        raise self.retry(exc=error, countdown=@int@)",
        ),
    ),
    python(
        "celery-os",
        CELERY.format(
            name="ship",
            body="@app.task(autoretry_for=(OSError,), max_retries=3, default_retry_delay=@int@)\n"
            "def ship():\n    open('@path@')",
        ),
    ),
    python(
        "celery-plain",
        CELERY.format(
            name="mail",
            body="@app.task\ndef mail():\n    raise PermissionError('@email@ may not send mail')",
        ),
    ),
    python(
        "logged",
        "import logging\nlogging.warning('starting import @int@')\ndef tidy():\n"
        "    raise OSError(28, 'No space left on device', '@path@')\n\ntry:\n    tidy()\n"
        "except OSError:\n    logging.exception('import @int@ failed')\n    raise SystemExit(1)",
        field="stderr",
    ),
    python(
        "arguments",
        "import argparse\nparser = argparse.ArgumentParser(prog='job')\n"
        "parser.add_argument('--day', type=int)\nparser.parse_args(['--day', '@word@'])",
        field="stderr",
    ),
    python("exit-text", "raise SystemExit('no rows for @date@')", field="stderr"),
    python("str-int", "int('@word@')", field="str"),
    python("str-missing", "open('@path@')", field="str"),
    python("str-own", "raise RuntimeError('user @int@ has no licence @uuid@')", field="str"),
    python("str-address", "raise RuntimeError('no answer from @ip@ within @small@ seconds')", field="str"),
    python("str-json", "import json\njson.loads('[@int@ @int@')", field="str"),
    node("node-type", "function total(order) {\n  return order.rows.length;\n}\ntotal({ id: @int@ });"),
    node("node-type-elsewhere", "function count(order) {\n  return order.rows.length;\n}\ncount({ id: @int@ });"),
    node("node-json", "function parse(text) {\n  return JSON.parse(text);\n}\nparse('{@word@');"),
    node("node-reference", "function send() {\n  return mailer.send(@int@);\n}\nsend();"),
    node(
        "node-missing",
        "const fs = require('fs');\nfunction read(path) {\n  return fs.readFileSync(path);\n}\nread('@path@');",
    ),
    node(
        "node-async",
        "class QuotaError extends Error {}\nasync function upload(n) {\n  await null;\n"
        "  throw new QuotaError(`file ${n} is larger than @int@ bytes`);\n}\nupload(@int@);",
    ),
    node(
        "node-cause",
        "function sync(n) {\n  try {\n    null.rows;\n  } catch (error) {\n"
        "    throw new Error(`cannot sync ${n}`, { cause: error });\n  }\n}\nsync(@int@);",
    ),
    node("node-refused", "require('net').connect(@port@, '127.0.0.1');"),
    node("node-syntax", "const limit = @int@;\nfunction broken( {\n"),
    node("node-module", "require('shop-@hex@');"),
    java(
        "java-number",
        "public class Job {\n  static int price(String text) { return Integer.parseInt(text); }\n"
        '  public static void main(String[] a) { price("@word@"); }\n}',
    ),
    java(
        "java-wrapped",
        "public class Job {\n  static void load(int id) {\n    try { Object o = null; o.toString(); }\n"
        '    catch (Exception e) { throw new IllegalStateException("cannot load " + id, e); }\n  }\n'
        "  public static void main(String[] a) { load(@int@); }\n}",
    ),
    ruby("ruby-key", "def find(rows)\n  rows.fetch('@word@')\nend\nfind({ 'a' => @int@ })"),
    ruby("ruby-zero", "def average(sum, count)\n  sum / count\nend\naverage(@int@, 0)"),
    ruby("ruby-json", "require 'json'\ndef parse(text)\n  JSON.parse(text)\nend\nparse('{@word@')"),
    ruby("ruby-own", "class Declined < StandardError; end\ndef pay(id)\n  raise Declined, \"order #{id} was declined\"\n"
         "end\n[@int@].each { |id| pay(id) }"),
    shell("sh-missing-command", "echo start @int@\nshop-export --day @date@\n"),
    shell("sh-missing-command-elsewhere", "shop-export --day @date@\n", file="nightly.sh"),
    shell("sh-other-command", "shop-import --day @date@\n"),
    shell("sh-denied", "touch tool\n./tool @int@\n"),
    shell("sh-directory", "cd @path@ || exit @small@\n"),
    shell("sh-cat", "cat @path@\n"),
    shell("sh-copy", "cp @path@ @path@\n"),
    shell("sh-tar", "tar xf @path@\n"),
    shell("sh-pipe", "set -o pipefail\ncat @path@ | sort -k @int@ > /dev/null\n"),
    shell("sh-unset", "set -u\necho $DAY_TO_LOAD @int@\n"),
    shell("sh-psql", "psql '@postgresql@' -c 'SELECT @int@ FROM invoices'\n"),
    shell("sh-quiet", "exit 3\n"),
    shell("sh-quiet-other", "exit 4\n"),
    shell("sh-killed", "exec sh -c 'kill -9 $$'\n"),
    shell("sh-python", "python3 - <<'E'\ndef load(n):\n    raise ValueError(f'bad row {n}')\nload(@int@)\nE\n"),
)  # fmt: skip


def values(kind: Kind, number: int, postgresql: str) -> dict[str, str]:
    """Return what varies, for one variant."""
    chance = random.Random(f"{kind.label} {number}")
    identifier = uuid.UUID(int=chance.getrandbits(128), version=4)
    return {
        "int": str(chance.randint(10, 10 ** chance.randint(2, 8))),
        "small": str(chance.randint(2, 6)),
        "attempt": str(number % 4),
        "word": WORDS[number % len(WORDS)],
        "hex": f"{chance.getrandbits(48):012x}",
        "uuid": str(identifier),
        "path": f"/data/{chance.choice(WORDS).replace(' ', '_')}/{chance.randint(1, 999)}.csv",
        "date": f"20{chance.randint(10, 30)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
        "email": f"{chance.choice(('jo', 'a.b', 'x+1'))}@shop{chance.randint(1, 99)}.example",
        "ip": ".".join(str(chance.randint(1, 254)) for _ in range(4)),
        "port": str(chance.randint(1, 20)),
        "postgresql": postgresql,
    }


def fill(source: str, found: dict[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda match: found.get(match[1], match[0]), source)


def write_files(kind: Kind, source: str, number: int, folder: Path) -> None:
    """Write the files of a program, with other line numbers in each variant."""
    comment = {"node": "// ", "java": "// "}.get(kind.runs, "# ")
    padding = f"{comment}line\n" * (number * 3 % 11)
    name, *others = re.split(r"^#--- (.*)\n", source, flags=re.MULTILINE)
    files = {kind.file: name} | dict(zip(others[::2], others[1::2], strict=True))
    for file, text in files.items():
        (folder / file).write_text(padding + text)


def command(kind: Kind, options: argparse.Namespace) -> list[str]:
    if kind.runs == "python":
        return [options.python, *(["-c", STRING_ONLY] if kind.field == "str" else ["job.py"])]
    programs = {"node": "node", "java": "java", "ruby": options.ruby, "sh": "bash"}
    return [programs[kind.runs], kind.file]


def run(kind: Kind, number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run one variant and return its line of the corpus."""
    source = fill(kind.source, values(kind, number, options.postgresql))
    with tempfile.TemporaryDirectory() as folder:
        write_files(kind, source, number, Path(folder))
        program = command(kind, options)
        if kind.runs in ("python", "sh", "node", "ruby") and kind.field != "str":
            program[1] = f"{folder}/{program[1]}"
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": folder, "LANG": "C.UTF-8"}
        done = subprocess.run(
            program, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
    text = neutral(done.stderr, folder, FOLDERS[number % len(FOLDERS)], options)
    return {"label": kind.label, "data": as_data(kind, text, done.returncode)}


def neutral(text: str, folder: str, place: str, options: argparse.Namespace) -> str:
    """Replace the paths of this machine."""
    environment = str(Path(options.python).absolute().parent.parent)
    ruby = str(Path(options.ruby).absolute().parent / "root")
    base = base_prefix(options.python)
    for path, instead in ((folder, place), (environment, "/srv/venv"), (ruby, ""), (base, "/usr")):
        text = text.replace(path, instead)
    return text


@cache
def base_prefix(interpreter: str) -> str:
    """Return where the standard library of an interpreter is."""
    code = "import sys; print(sys.base_prefix)"
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True).stdout.strip()


def as_data(kind: Kind, text: str, code: int) -> dict[str, Any]:
    """Return what the SDK or its command line would send."""
    if kind.field == "stderr":
        return {"stdout": "", "stderr": text, "return_code": code}
    return {"exception": text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--ruby", default="ruby")
    parser.add_argument("--postgresql", default="postgresql://postgres@127.0.0.1:5432/test")
    parser.add_argument("--only")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if options.only in (None, kind.label)]
    jobs = [(kind, number) for kind in kinds for number in range(VARIANTS)]
    with ThreadPoolExecutor(2) as pool:
        lines = list(pool.map(lambda job: run(*job, options), jobs))
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if options.only:
        sys.stdout.write(text)
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
