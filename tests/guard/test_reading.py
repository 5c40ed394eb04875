"""The guard reads a strategy's source before it runs and reports nondeterministic uses with their lines."""

from __future__ import annotations

import pytest

from engine.errors import NotDeterministic
from engine.guard.reading import Source, find, refuse
from engine.guard.rules import HINTS

# A family, and sources with one banned use each, on the last line.
# fmt: off
BANNED = [
    ("clock", "import time\ntime.time()", "import time\nx = time.monotonic_ns()",
     "from time import time as t\nt()", "import time as clock\nclock.sleep(1)",
     "from time import time\nnow = time", "import time\n[time][0]", "import time\nf(time)",
     "from datetime import datetime\ndatetime.now()", "import datetime as dt\ndt.datetime.utcnow()",
     "from datetime import date as D\nD.today()", "import datetime\ndatetime.date.today()",
     "from datetime import datetime\ndatetime.now(tz=UTC)", "import timeit\ntimeit.default_timer()",
     "from datetime import datetime\nD = datetime\nD.now()", "import pandas as pd\npd.Timestamp.now()",
     "import os\nos.times()", "from email.utils import formatdate\nformatdate()",
     "def f():\n    import time\n    return time.time()",
     "class A:\n    from time import time\n    x = time()", "from time import *",
     "import time\ndef f(now=time.time): pass", "import time\nclass A(x=time.time): pass",
     "import time\nf'{time.time()}'", "import time\nx = lambda: time.time()",
     "import time\nif True:\n    time = None\ntime.time()", "import time\nwith time.x: pass",
     "import time\nclass A:\n    time = 5\n    def f(self): return time.time()",
     "import time\nx: float = time.time()", "import time\n[time.time() for _ in x]"),
    ("zone", "from datetime import datetime\ndatetime.fromtimestamp(5)",
     "from datetime import datetime\ndatetime.fromtimestamp(5, None)", "x.astimezone()",
     "from datetime import datetime\ndatetime.fromtimestamp(timestamp=5)",
     "from datetime import datetime\ndatetime.fromtimestamp(5, tz=None)", "x.astimezone(None)",
     "from datetime import datetime\nmap(datetime.fromtimestamp, xs)",
     "from datetime import date\ndate.fromtimestamp(5)"),
    ("chance", "import random\nrandom.random()", "import random as r\nr.Random(5)",
     "from random import choice\nchoice(x)", "import secrets\nsecrets.token_hex()",
     "import uuid\nuuid.uuid4()", "from uuid import uuid1 as u\nu()", "import os\nos.urandom(8)",
     "import _random\n_random.Random()", "from statistics import NormalDist\nNormalDist.samples",
     "import numpy as np\nnp.random.rand()", "from numpy.random import default_rng\ndefault_rng()",
     "from numpy import random\nrandom.rand()", "import numpy.random as r\nr.rand()"),
    ("shared", "class A:\n    n = 0\n    def f(self): A.n += 1", "class A:\n    def f(self): A.n = 1",
     "class A:\n    @classmethod\n    def f(cls): cls.n = 1",
     "SEEN = []\ndef f(): SEEN.append(1)", "SEEN = {}\ndef f(x): SEEN[x] = 1",
     "SEEN: dict = dict()\ndef f(x): del SEEN[x]",
     "import collections\nN = collections.Counter()\ndef f(): N['a'] += 1",
     "def f():\n    global n", "def f(x=[]): pass", "class A:\n    def f(self, x={}): pass",
     "class A:\n    seen = []\n    def f(self): self.seen.append(1)",
     "class A:\n    seen = {}\n    def f(self, x): A.seen[x] = 1",
     "class A:\n    seen: list = []\n    def f(self): self.seen += [1]",
     "from decimal import getcontext\ngetcontext().prec = 5"),
    ("files", "open('x')", "import builtins\nbuiltins.open('x')", "import io\nio.open('x')",
     "from pathlib import Path\nPath('x')", "import pathlib as p\np.Path('x').read_text()",
     "import os\nos.listdir()", "import os.path\nos.path.exists('x')",
     "from os import path\npath.getmtime('x')",
     "import sqlite3\nsqlite3.connect('x')", "import tempfile\ntempfile.mkdtemp()",
     "import shutil\nshutil.rmtree('x')", "import os\ngetattr(os, 'sep')\nos.remove('x')",
     "from zoneinfo import ZoneInfo\nZoneInfo('x')", "import gzip\ngzip.open('x')"),
    ("network", "import socket\nsocket.socket()", "import ssl\nssl.create_default_context()",
     "import httpx\nhttpx.get('x')", "from requests import get\nget('x')",
     "import urllib.request\nurllib.request.urlopen('x')", "from urllib import request\nrequest.urlopen('x')",
     "import http.client\nhttp.client.HTTPConnection('x')", "import aiohttp\naiohttp.ClientSession()",
     "import websockets\nwebsockets.connect('x')"),
    ("tasks", "import subprocess\nsubprocess.run([])", "import threading\nthreading.Thread()",
     "from multiprocessing import Pool\nPool()", "import asyncio\nasyncio.run(x)",
     "from concurrent.futures import ThreadPoolExecutor as P\nP()", "import trio\ntrio.run(x)",
     "import os\nos.fork()", "import os\nos.system('x')", "import signal\nsignal.alarm(1)"),
    ("environment", "import os\nos.environ['x']", "from os import environ as e\ne.get('x')",
     "import os\nos.getenv('x')", "import sys\nsys.argv", "import sys\nsys.modules['time']",
     "import platform\nplatform.node()", "import os\nos.getcwd()", "import locale\nlocale.getlocale()"),
    ("identity", "id(x)", "hash(x)", "x.sort(key=hash)", "import builtins as b\nb.id(x)"),
    ("console", "print(1)", "import pprint\npprint.pp(1)", "from warnings import warn\nwarn('x')",
     "input()", "breakpoint()", "import logging\nlogging.getLogger()"),
    ("code", "eval('1')", "import datetime\nclass A(datetime.datetime): pass",
     "exec('1')", "__import__('time')", "globals()['time']",
     "import importlib\nimportlib.import_module('time')", "from importlib import import_module as i\ni('x')",
     "__builtins__", "import datetime\ngetattr(datetime.datetime, 'now')",
     "import time\ngetattr(time, 'time')"),
    ("engine", "from engine.clock import SystemClock\nSystemClock()",
     "from engine.journal import read_frames\nread_frames(x)", "import adapters.files\nadapters.files.x"),
]
ALLOWED = [
    "class A:\n    n = 0\n    def f(self): self.n += 1", "class A: pass\nA.n = 1",
    "SEEN = []\nSEEN.append(1)\ndef f(): return SEEN[0]", "SEEN = []\ndef f(SEEN): SEEN.append(1)",
    "SEEN = []\ndef f():\n    SEEN = []\n    SEEN.append(1)", "def f(x=()): pass",
    "class A:\n    seen = []\n    def g(self): self.seen = []\n    def f(self): self.seen.append(1)",
    "class A:\n    weights = {'a': 1}\n    def f(self): return self.weights['a']",
    "x.astimezone(UTC)", "from decimal import localcontext\nlocalcontext()",
    "import time", "import random as r\nfrom os import environ",
    "from time import time\ndef f(x: time): pass",
    "from pathlib import Path\nx: Path\ny: Path | None = None\ndef f(x) -> Path: pass",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import socket",
    "from datetime import UTC, datetime, timedelta\ndatetime.fromtimestamp(5, UTC)\ntimedelta(days=1)",
    "import datetime\ndatetime.datetime.fromtimestamp(5, tz=datetime.UTC)\ndatetime.datetime(2024, 1, 1)",
    "import math, statistics, collections, decimal\nmath.log(2)\nstatistics.mean(x)\ncollections.deque()",
    "import os\nos.path.join('a', 'b')\nos.sep", "from pathlib import PurePath\nPurePath('x').name",
    "from uuid import UUID, uuid5\nUUID(int=5)\nuuid5(x, 'y')",
    "import numpy as np\nnp.mean(x)\nnp.float64(1)",
    "def f(time, open):\n    return time.time() + open()",
    "def f(self, bar):\n    open = bar.open\n    return open",
    "import time\nclass A:\n    import math as time\n    x = time.pi",
    "self.time.time()", "bar.open", "x.now()", "class A:\n    def open(self): return self.open",
    "import sys\nsys.maxsize", "import io\nio.StringIO()", "from urllib.parse import quote\nquote('x')",
    "for id in x:\n    id", "try:\n    pass\nexcept E as hash:\n    hash", "time = 5\ntime",
    "from engine.clock import SECOND_NS\nSECOND_NS", "getattr(x, 'y')", "import math\ngetattr(math, 'pi')",
    "x = lambda id: id", "match x:\n    case [id]:\n        id", "x = x.y", "a = b\nb = a\na",
]
# fmt: on


def found(**texts: str) -> list[str]:
    """Return the findings in modules given by name, as text."""
    sources = {
        name: Source(name, f"{name.replace('.', '/')}.py", text)
        for name, text in ((name.replace("__", "."), text) for name, text in texts.items())
    }
    return [str(one) for one in find(sources)]


@pytest.mark.parametrize(("family", "text"), [(family, text) for family, *texts in BANNED for text in texts])
def test_a_banned_use_is_found_with_its_line(family: str, text: str) -> None:
    findings = found(mine=text)
    line = text.count("\n") + 1
    assert f"mine.py:{line}: " in findings[-1]
    assert findings[-1].endswith(f": {HINTS[family]}")


@pytest.mark.parametrize("text", ALLOWED)
def test_an_allowed_use_is_not_reported(text: str) -> None:
    assert found(mine=text) == []


def test_a_finding_names_the_call_and_what_to_use_instead() -> None:
    assert found(my__strategy="from time import time as t\n" + "\n" * 12 + "t()") == [
        "my/strategy.py:14: calls time.time(): a strategy has no clock; use self.now_ns"
    ]
    assert found(mine="import os\nx = os.environ")[0].startswith("mine.py:2: uses os.environ: ")
    assert found(mine="import time\nf(time)")[0].startswith("mine.py:2: uses time itself: ")


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("from time import time", "from inner import time\ntime()"),
        ("import time as t", "import inner\ninner.t.time()"),
        ("from time import time", "from inner import *\ntime()"),
        ("import datetime\nD = datetime.datetime", "from inner import D\nD.now()"),
        ("from os import path", "from inner import path as p\np.exists('x')"),
    ],
)
def test_a_name_that_another_module_of_the_strategy_re_exports_is_followed(inner: str, outer: str) -> None:
    (finding,) = found(inner=inner, outer=outer)
    assert finding.startswith("outer.py:2: ")


def test_relative_imports_are_followed() -> None:
    texts = {"pack__inner": "from time import time", "pack__outer": "from .inner import time\ntime()"}
    assert len(found(**texts)) == 1


def test_the_error_is_the_first_finding_and_lists_a_few_more_lines() -> None:
    source = Source("mine", "mine.py", "\n".join(["print(1)"] * 9))
    with pytest.raises(NotDeterministic) as raised:
        refuse(find({"mine": source}))
    first, second = str(raised.value).splitlines()
    assert first.startswith("mine.py:1: calls print()")
    assert second == "also in mine.py:2, mine.py:3, mine.py:4, mine.py:5 ..."
    assert raised.value.exit_code == 2
    refuse([])
