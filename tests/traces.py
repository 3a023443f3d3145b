"""Traces of several languages, for the tests of failures."""

TRACE = 'Traceback (most recent call last):\n  File "/srv/app/job.py", line 3, in run\n    x()\n'
HANDLING = "\nDuring handling of the above exception, another exception occurred:\n\n"
FOREIGN = '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    y()\n'
RETRY = "celery.exceptions.Retry: Retry in 60s: ValueError('row 5')"
SYNTAX = (
    '  File "/srv/app/settings.py", line 2\n    def f(:\n          ^\nSyntaxError: invalid syntax'
)
NODE = "/a/b.js:1\n x\n ^\n\nTypeError: a 5\n    at f (/a/node_modules/x/i.js:1:2)\n"
JAVA = 'Exception in thread "main" a.b.Boom: id 5\n\tat java.base/java.util.X.y(X.java:1)\n'
GO = "panic: id 5\n\ngoroutine 1 [running]:\npanic(0x1)\n\t/usr/go/src/runtime/panic.go:1 +0x1\n"
RUBY = "/srv/app/a.rb:3:in `fetch': key not found: 5 (KeyError)\n"
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/srv/app/job.py", line 7, in main
  |     x()
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: row 5
    +---------------- 2 ----------------
    | KeyError: 'a'
    +------------------------------------
"""
