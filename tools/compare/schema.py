#!/usr/bin/env python3
"""Compares Ward's structured output with the validator of PyPI's jsonschema (draft 2020-12, formats checked), over the
vocabulary of the published Qwen3 tokenizer.

    tools/venv; tools/fetch-tokenizer
    .venv/bin/python tools/compare/schema.py build/tests/text/schema_pipe .cache/qwen3-tokenizer [--seed N] [--random N]

For each schema, written by hand in the style of the JSON-Schema-Test-Suite or random, and for patterns of many kinds:
  - every text drawn at random from Ward's masks must parse and be valid;
  - the masks of every string automaton's states must be what trying each token byte by byte gives: of four states of each, spread
    evenly; all of them are timed as if they were met for the first time;
  - every small document must be one that Ward lets a model write, with its members in some order, exactly if it is valid.
Schemas with keywords that Ward does not take must be refused with the keyword's name. Exit status 0: no difference.
"""
import argparse
import itertools
import json
import random
import subprocess
import sys

from jsonschema import Draft202012Validator

FORMATS = Draft202012Validator.FORMAT_CHECKER

# schema, documents beside the common ones
CASES = [
    (True, []), ({}, []),
    ({"type": "integer"}, [10**17, -5]), ({"type": "number"}, [1.5, -2.25]), ({"type": "string"}, ["é", "漢字", "\U0001F600"]),
    ({"type": "null"}, []), ({"type": "boolean"}, []), ({"type": ["integer", "string", "null"]}, []),
    ({"minimum": 1.1}, [2.6, 1.1, 0.6, 1.10001]), ({"maximum": 3}, [3.5, 2.9]), ({"minimum": -2}, [-2.5, -2, -1]),
    ({"minimum": -2, "maximum": 10.25}, [-2.0001, 10.25, 10.2501, 10.2]),
    ({"exclusiveMinimum": 1.1, "exclusiveMaximum": 3}, [1.1, 1.11, 2.99, 3]),
    ({"type": "integer", "minimum": 0.5, "maximum": 12}, [12, 13, 9, 10, 11]),
    ({"type": "integer", "exclusiveMinimum": -1, "exclusiveMaximum": 1}, []),
    ({"type": "integer", "minimum": 95, "maximum": 1005}, [94, 95, 99, 100, 999, 1000, 1005, 1006, 9, 96]),
    ({"type": "number", "minimum": 0, "maximum": 1}, [0.5, 0.05, 1.5, 0.999999, -0.5]),
    ({"minLength": 2, "maxLength": 3}, ["é", "ab", "abc", "abcd", "漢字", "\n\n", '"\\']),
    ({"pattern": "^a*$"}, ["a", "aa", "b", "ab"]), ({"pattern": "a+"}, ["xxaayy", "xx"]),
    ({"type": "string", "pattern": "^[A-Z]{2}[0-9]+$", "maxLength": 4}, ["AB1", "AB12", "AB123", "A1"]),
    ({"pattern": "^(?:ab|cd)+$|^x", "minLength": 3}, ["abcd", "ab", "x", "xyz", "abc"]),
    ({"pattern": "\\d{2}\\.\\d"}, ["12.3", "a12.3b", "123"]), ({"pattern": "^[^\\s\"]*$"}, ["ab", "a b", "a\"b"]),
    ({"type": "string", "format": "date"}, ["2024-02-29", "2023-02-29", "2000-02-29", "1900-02-29", "2024-13-01", "2024-04-31"]),
    ({"type": "string", "format": "time"}, ["12:00:00Z", "24:00:00Z", "08:30:06+02:00", "12:00:00", "12:00:00.5Z"]),
    ({"type": "string", "format": "date-time"}, ["2024-02-29T08:30:06Z", "2024-02-30T08:30:06Z", "2024-02-29 08:30"]),
    ({"type": "string", "format": "uuid"}, ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380"]),
    ({"type": "string", "format": "email"}, ["joe@example.com", "joe", "a.b@c.de"]),
    ({"enum": [1, 2, 3]}, []), ({"enum": [6, "foo", [], True, {"foo": 12}]}, [{"foo": 12}, {"foo": 13}, {"foo": 12, "x": 1}, "foo", 6]),
    ({"type": "object", "properties": {"foo": {"enum": ["foo"]}, "bar": {"enum": ["bar"]}}, "required": ["bar"]},
     [{"foo": "foo", "bar": "bar"}, {"foo": "x", "bar": "bar"}, {"bar": "bar"}, {"foo": "foo"}]),
    ({"enum": ["a\nb", "a\rb", "\"", "é"]}, ["a\nb", "\"", "é"]), ({"enum": [False]}, [0, False]), ({"enum": [0]}, [0, False]),
    ({"const": 2}, []), ({"const": {"a": [1, None], "b": False}}, [{"a": [1, None], "b": False}, {"b": False, "a": [1, None]}]),
    ({"const": [{"a": "b"}]}, [[{"a": "b"}], []]), ({"const": None}, []), ({"const": 1.5}, [1.5]), ({"const": -2.0}, [-2]),
    ({"properties": {"foo": {"type": "integer"}, "bar": {"type": "string"}}}, [{"foo": 1, "bar": "baz"}, {"foo": 1, "bar": {}}, {"quux": []}]),
    ({"properties": {"foo": {}, "bar": {}}, "additionalProperties": False}, [{"foo": 1}, {"foo": 1, "bar": 2, "quux": 1}]),
    ({"type": "object", "properties": {"foo": {}}, "additionalProperties": {"type": "boolean"}}, [{"foo": 1, "quux": True}, {"foo": 1, "quux": 12}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2}, [{"a": 1, "b": 2, "c": 3}, {"x": 1}]),
    ({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2, "maxProperties": 2, "additionalProperties": False},
     [{"a": 1, "b": 2}, {"a": 1, "c": 2}, {"b": 1, "c": 2}, {"a": 1}, {"a": 1, "b": 1, "c": 1}]),
    ({"type": "object", "properties": {"foo\nbar": {"type": "integer"}, "q\"q": {}, "é": {}}, "required": ["foo\nbar"]},
     [{"foo\nbar": 1}, {"foo\nbar": "1"}, {"foo\nbar": 1, "q\"q": 2, "é": 3}]),
    ({"required": ["foo"]}, [{"foo": 1}, {"bar": 1}, []]), ({"properties": {"foo": False, "bar": {}}}, [{"bar": 2}, {"foo": 1}]),
    ({"type": "object", "required": ["x", "y"], "properties": {"y": {"type": "integer"}}}, [{"x": 1, "y": 2}, {"y": 1}, {"x": 0}]),
    ({"items": {"type": "integer"}}, [[1, 2, 3], [1, "x"], {"foo": "bar"}]), ({"items": False}, [[1], []]),
    ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, [[1, "foo"], ["foo", 1], [1], [1, "foo", True]]),
    ({"prefixItems": [{}, {}], "items": False}, [[1], [1, 2], [1, 2, 3]]), ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], [1, 2, 3], []]),
    ({"type": "array", "prefixItems": [{"const": 1}, False], "maxItems": 5}, [[1], [1, 2], []]),
    ({"allOf": [{"properties": {"bar": {"type": "integer"}}, "required": ["bar"]}, {"properties": {"foo": {"type": "string"}}, "required": ["foo"]}]},
     [{"foo": "baz", "bar": 2}, {"foo": "baz"}, {"bar": 2}]),
    ({"allOf": [{"maximum": 30}, {"minimum": 20}]}, [25, 35, 20, 19]), ({"allOf": [{"enum": [1, 2, "a"]}, {"enum": [2, "a", "b"]}]}, [1, 2, "a", "b"]),
    ({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}, {"maxLength": 3}]}, ["ab", "aab", "acb", "aabb", "a"]),
    ({"allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"maximum": 5}}, "additionalProperties": False}], "type": "object"},
     [{"a": 4}, {"a": 6}, {"a": 4, "b": 1}]),
    ({"anyOf": [{"type": "integer"}, {"minimum": 2}]}, [1, 2.5, 1.5, "x"]), ({"type": "string", "anyOf": [{"maxLength": 2}, {"minLength": 4}]}, ["ab", "abc", "abcd"]),
    ({"anyOf": [{"properties": {"bar": {"type": "integer"}}, "required": ["bar"]}, {"properties": {"foo": {"type": "string"}}, "required": ["foo"]}]},
     [{"bar": 2}, {"foo": "baz"}, {"foo": "baz", "bar": 2}, {"foo": 2, "bar": "quux"}]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}], "type": "number"}, [1, 2.5, 3, 1.5, 0.5, -3]),
    ({"oneOf": [{"type": "string", "maxLength": 4}, {"type": "string", "minLength": 3}]}, ["ab", "abc", "abcd", "abcde"]),
    ({"oneOf": [{"enum": ["a", "b", 1]}, {"enum": ["b", "c", 1, 2]}]}, ["a", "b", "c", 1, 2]),
    ({"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["k"]},
                {"type": "object", "properties": {"k": {"const": "b"}, "w": {"type": "string"}}, "required": ["k"]}, {"type": "null"}]},
     [{"k": "a", "v": 1}, {"k": "a", "v": "x"}, {"k": "b", "v": "x"}, {"k": "b", "w": 1}, {"k": "c"}]),
    ({"oneOf": [True, False]}, []), ({"type": "number", "oneOf": [{"minimum": 0, "maximum": 10}, {"minimum": 5, "maximum": 15}]}, [0, 4, 5, 7, 10, 11, 15, 16, 4.5, 10.5]),
    ({"properties": {"foo": {"$ref": "#"}}, "additionalProperties": False}, [{"foo": {"foo": False}}, {"foo": {"bar": False}}, {"foo": False}, {"bar": 1}]),
    ({"$defs": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/a"}, "c": {"$ref": "#/$defs/b"}}, "$ref": "#/$defs/c"}, [5, "a"]),
    ({"$defs": {"tilde~x": {"type": "integer"}, "slash/x": {"type": "integer"}, "percent%x": {"type": "integer"}},
      "properties": {"t": {"$ref": "#/$defs/tilde~0x"}, "s": {"$ref": "#/$defs/slash~1x"}, "p": {"$ref": "#/$defs/percent%25x"}}},
     [{"t": 1, "s": 1, "p": 1}, {"t": "a"}, {"s": "a"}, {"p": "a"}]),
    ({"$defs": {"a": {"type": "array"}}, "properties": {"foo": {"$ref": "#/$defs/a", "maxItems": 2}}}, [{"foo": [1, 2]}, {"foo": [1, 2, 3]}, {"foo": 1}]),
    ({"$defs": {"node": {"type": "object", "properties": {"v": {"type": "number"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
                         "required": ["v"], "additionalProperties": False}}, "$ref": "#/$defs/node"},
     [{"v": 1}, {"v": 1, "kids": []}, {"v": 1, "kids": [{"v": 2}]}, {"v": 1, "kids": [{"x": 2}]}]),
    ({"$defs": {"list": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"h": {"type": "integer"}, "t": {"$ref": "#/$defs/list"}},
                                                      "required": ["h", "t"], "additionalProperties": False}]}}, "$ref": "#/$defs/list"},
     [{"h": 1, "t": None}, {"h": 1, "t": {"h": 2, "t": None}}, {"h": 1}]),
    ({"properties": {"$ref": {"type": "string"}}}, [{"$ref": "a"}, {"$ref": 2}]), ({"title": "t", "description": "d", "default": 1, "examples": [1], "type": "integer"}, [1, "a"]),
    ({"type": "object", "properties": {"a": {"type": "string"}, "ab": {"type": "integer"}}, "additionalProperties": {"type": "null"}},
     [{"a": "x"}, {"ab": 1}, {"abc": None}, {"abc": 1}, {"a": "x", "ab": 2, "b": None}, {"": None}]),
]

# schema, what the sentence must name
REFUSED = [
    ({"multipleOf": 2}, "multipleOf"), ({"uniqueItems": True}, "uniqueItems"), ({"not": {}}, "not"), ({"patternProperties": {}}, "patternProperties"),
    ({"if": True, "then": True}, "supported"), ({"contains": {}}, "contains"), ({"dependentRequired": {}}, "dependentRequired"), ({"unevaluatedItems": False}, "unevaluatedItems"),
    ({"properties": {"a": {"items": {"propertyNames": {}}}}}, "#/properties/a/items"), ({"format": "ipv4"}, "ipv4"), ({"x-private": 1}, "x-private"),
    ({"$ref": "http://example.com/s"}, "example.com"), ({"$ref": "#/$defs/none"}, "none"), ({"pattern": "(?=a)"}, "look-ahead"), ({"pattern": "a("}, "regular expression"),
    ({"pattern": "\\bword"}, "word borders"), ({"pattern": "(a)\\1"}, "back-references"), ({"type": "float"}, "type"), ({"minLength": -1}, "minLength"), ({"required": "a"}, "required"),
    ({"oneOf": [{"type": "object"}, {"type": "object", "properties": {"a": {}}}]}, "oneOf"), ({"allOf": [{"type": "string"}, {"type": "null"}]}, "no value"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no value"), ({"$ref": "#"}, "itself"), ({"enum": []}, "enum"), (False, "no value"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "no value"), ({"additionalProperties": 3}, "additionalProperties"),
]

# Wide classes, counts, searches, words: what is most work for masks
PATTERNS_HARD = [
    "e+", "^[^e]*$", "^[^e]{3,8}$", "^[a-z]{1,4}( [a-z]{1,4}){0,3}\\.$", "^[一-鿿]{2,4}$", "^[一-漢a-z ]{2,40}$", "^(?:[ab]*@)?[^@]*$",
    "^[^a]*\\n[^b]*$", "^[A-Z][a-z]+( [A-Z][a-z]+)*$", "^\\w{1,64}$", "^[\\w .,;:'-]{1,200}$", "^[^\\s]{1,32}$",
    "^https?://[^\\s/$.?#].[^\\s]*$", "^\\d{3}-\\d{4}$", "^(?:[0-9]{1,3}\\.){3}[0-9]{1,3}$", "^[\\s\\S]{0,100}$", ".{10,20}", "^.{0,2000}$",
    "^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\\.[a-zA-Z]{2,}$", "^[^,]*(,[^,]*){2}$", "^(?:mild|moderate|severe)( .*)?$", "diagnos(?:is|e|tic)",
    "^[a-z]*[0-9][a-z]*$", "^(?:[a-z]+ ){3}[a-z]+\\.$", "^[aeiou]{0,3}[^aeiou]+$", "^[\\u0400-\\u04FF ]+$", "^.{0,3}[一-鿿].{0,12}$",
    "^(?:(?:[^aeiou]*[aeiou]){2})*$", "^[^e]*e[^t]*t[^a]*$",
]

COMMON = [None, True, False, 0, 1, 2, 3, -1, 1.5, "", "a", "foo", "ab", [], [1], ["a"], [1, 2], [None, "a"], {}, {"a": 1}, {"b": "x"}, {"a": "x", "b": 2}, {"foo": 1}]
NAMES = ["a", "b", "ab", "foo"]
PATTERNS = ["^a", "b$", "^[ab]{1,3}$", "a|b", "^(?:ab)*$", "^[^a]*$", ".b", "^\\w+$"]


def random_schema(r, depth=0, defs=()):
    if depth > 2 and r.random() < 0.7:
        return r.choice([{"type": "integer"}, {"type": "string"}, {"type": "null"}, True])
    kind = r.randrange(13)
    sub = lambda: random_schema(r, depth + 1, defs)
    if kind == 0:
        s = {"type": r.choice(["integer", "number"])}
        for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if r.random() < 0.35:
                s[k] = r.choice([r.randrange(-3, 4), r.randrange(-30, 40) / 10])
        return s
    if kind == 1:
        s = {"type": "string"} if r.random() < 0.8 else {}
        if r.random() < 0.5:
            s["maxLength"] = r.randrange(1, 4)
        if r.random() < 0.3:
            s["minLength"] = r.randrange(0, 3)
        if r.random() < 0.5:
            s["pattern"] = r.choice(PATTERNS)
        return s
    if kind in (2, 3, 4):
        s = {"type": "object"} if r.random() < 0.8 else {}
        names = r.sample(NAMES, r.randrange(0, 4))
        if names:
            s["properties"] = {n: sub() for n in names}
        if r.random() < 0.5:
            s["required"] = r.sample(NAMES, r.randrange(0, 3))
        if r.random() < 0.6:
            s["additionalProperties"] = r.choice([False, sub(), True])
        if r.random() < 0.2:
            s["maxProperties"] = r.randrange(0, 3)
        if r.random() < 0.2:
            s["minProperties"] = r.randrange(0, 3)
        return s
    if kind in (5, 6):
        s = {"type": "array"} if r.random() < 0.8 else {}
        if r.random() < 0.7:
            s["items"] = sub()
        if r.random() < 0.3:
            s["prefixItems"] = [sub() for _ in range(r.randrange(1, 3))]
        if r.random() < 0.4:
            s["maxItems"] = r.randrange(0, 3)
        if r.random() < 0.3:
            s["minItems"] = r.randrange(0, 3)
        return s
    if kind == 7:
        return {"enum": r.sample(COMMON, r.randrange(1, 6))}
    if kind == 8:
        return {"const": r.choice(COMMON)}
    if kind == 9:
        return {"anyOf": [sub() for _ in range(r.randrange(1, 4))]}
    if kind == 10:
        return {"allOf": [sub() for _ in range(r.randrange(1, 3))]}
    if kind == 11:
        return {"oneOf": [sub() for _ in range(r.randrange(1, 4))]}
    return {"$ref": r.choice(["#"] + ["#/$defs/" + d for d in defs])} if depth else {"type": r.choice(["string", "array", "object"])}


def random_value(r, depth=0):
    if depth < 2 and r.random() < 0.45:
        if r.random() < 0.5:
            return [random_value(r, depth + 1) for _ in range(r.randrange(0, 3))]
        return {n: random_value(r, depth + 1) for n in r.sample(NAMES, r.randrange(0, 4))}
    return r.choice([None, True, False, 0, 1, 2, 3, -1, -2, 1.5, 0.1, -2.5, 2.9, "", "a", "b", "ab", "ba", "bbb", "foo", "x", "é"])


def spellings(v):
    """Texts of the value, with its members in every order."""
    if isinstance(v, list):
        for items in itertools.product(*[list(spellings(x)) for x in v]):
            yield "[" + ",".join(items) + "]"
    elif isinstance(v, dict):
        members = [[json.dumps(k, ensure_ascii=False) + ":" + x for x in spellings(y)] for k, y in v.items()]
        for order in itertools.permutations(members):
            for items in itertools.product(*order):
                yield "{" + ",".join(items) + "}"
    elif isinstance(v, float) and v == int(v):
        yield str(int(v))
    else:
        yield json.dumps(v, ensure_ascii=False)


class Pipe:
    def __init__(self, program, folder):
        self.p = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, job):
        self.p.stdin.write(json.dumps(job, ensure_ascii=False) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            sys.exit("schema_pipe ended: " + json.dumps(job, ensure_ascii=False)[:2000])
        return json.loads(line)


class Tally:
    def __init__(self):
        self.schemas = self.drawn = self.docs = self.valid = self.unfinished = self.bad = 0
        self.mask, self.state, self.compile, self.view = [], [], [], []

    def wrong(self, what, schema, detail):
        self.bad += 1
        if self.bad <= 20:
            print("  %s: %s\n    %s" % (what, json.dumps(schema, ensure_ascii=False)[:700], ascii(detail)[:500]))


def no_twice(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name comes twice")
    return out


def check(t, pipe, schema, values, draw, seed):
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    docs, owner = [], []
    for i, v in enumerate(values):
        for s in itertools.islice(spellings(v), 200):
            docs.append(s)
            owner.append(i)
    a = pipe.ask({"schema": schema, "docs": docs, "draw": draw, "seed": seed, "max": 300, "sweep": 4, **({"space": "none"} if seed % 2 else {})})
    try:
        valid = [validator.is_valid(v) for v in values]
    except RecursionError: # a $ref that leads to itself, perhaps in a place that no value reaches
        return {"error": "$ref in circles"}, []
    if "error" in a:
        return a, valid
    taken = [False] * len(values)
    for i, yes in zip(owner, a["accepts"]):
        taken[i] |= yes
    t.schemas += 1
    t.docs += len(values)
    t.valid += sum(valid)
    t.unfinished += a["unfinished"]
    t.mask += a["mask_us"]
    t.state += a["sweep_us"]
    t.compile.append(a["compile_ms"])
    t.view.append(a["views_ms"])
    if a["sweep_wrong"]:
        t.wrong("%d masks are not what the tokens' bytes say" % a["sweep_wrong"], schema, "")
    for v, want, got in zip(values, valid, taken):
        if want != got:
            t.wrong("valid, cannot be written" if want else "not valid, can be written", schema, v)
    for text in a["drawn"]:
        t.drawn += 1
        try:
            v = json.loads(text, object_pairs_hook=no_twice)
            if not validator.is_valid(v):
                t.wrong("drawn and not valid", schema, text)
        except ValueError as e:
            t.wrong("drawn and does not parse (%s)" % e, schema, text)
    return a, valid


def hundreds(n):
    """A schema of n properties, as a form has them."""
    kinds = [{"type": "string", "maxLength": 80}, {"type": "integer", "minimum": 0, "maximum": 300}, {"type": "boolean"},
             {"enum": ["none", "mild", "moderate", "severe"]}, {"type": "string", "format": "date"},
             {"type": "array", "items": {"type": "string"}, "maxItems": 5}, {"type": "number", "minimum": 0, "maximum": 50.5},
             {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x", "y"], "additionalProperties": False},
             {"type": ["string", "null"]}, {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2,4}$"}]
    return {"type": "object", "properties": {"field_%03d" % i: kinds[i % len(kinds)] for i in range(n)},
            "required": ["field_%03d" % i for i in range(0, n, 2)], "additionalProperties": False}


def spread(v):
    v = sorted(v)
    return v[len(v) // 2], v[len(v) * 99 // 100], v[-1]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("folder")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--random", type=int, default=400)
    a = p.parse_args()
    r = random.Random(a.seed)
    pipe, t = Pipe(a.program, a.folder), Tally()

    for i, (schema, docs) in enumerate(CASES):
        answer, _ = check(t, pipe, schema, docs + COMMON, 8, i)
        if "error" in answer:
            t.wrong("refused", schema, answer["error"])
    for schema, part in REFUSED:
        answer = pipe.ask({"schema": schema, "docs": [], "draw": 0, "seed": 1})
        if part not in answer.get("error", ""):
            t.wrong("not refused with %r" % part, schema, answer)
    print("schema: by hand: %d schemas, %d refused ones" % (t.schemas, len(REFUSED)))

    refused = {}
    for i in range(a.random):
        defs = ["p", "q"]
        schema = random_schema(r, 0, defs)
        if isinstance(schema, dict):
            schema = dict(schema, **{"$defs": {d: random_schema(r, 1, defs) for d in defs}})
        values = COMMON + [random_value(r) for _ in range(25)]
        answer, valid = check(t, pipe, schema, values, 3, a.seed + i)
        if "error" in answer:
            why = "no value" if "no value" in answer["error"] else answer["error"].split(": ", 2)[-1][:40]
            refused[why] = refused.get(why, 0) + 1
            if why == "no value" and any(valid):
                t.wrong("refused as empty", schema, [v for v, ok in zip(values, valid) if ok])
            elif why != "no value" and not why.startswith(("oneOf", "$ref")):
                t.wrong("refused", schema, answer["error"])
    print("schema: random, seed %d: refused %s" % (a.seed, refused))

    for i, pattern in enumerate(PATTERNS_HARD):
        answer, _ = check(t, pipe, {"type": "string", "pattern": pattern}, COMMON, 2, i)
        if "error" in answer:
            t.wrong("refused", pattern, answer["error"])
    others = (t.mask, t.state, t.compile, t.view)
    t.mask, t.state, t.compile, t.view = [], [], [], []
    for i in range(3):
        check(t, pipe, hundreds(200), [], 2, i + 1)
    for name, (mask, state, compiled, view) in (("200 properties", (t.mask, t.state, t.compile, t.view)), ("all others", others)):
        print("schema: %s: compiled in %.2f ms median, %.2f ms worst; views of the vocabulary %.2f ms median, %.2f ms worst"
              % (name, *spread(compiled)[::2], *spread(view)[::2]))
        print("schema: %s: masks of the walks: %.1f us median, %.1f us at 99 %%, %.0f us worst of %d" % (name, *spread(mask), len(mask)))
        print("schema: %s: every state of every pattern: %.1f us median, %.1f us at 99 %%, %.0f us worst of %d"
              % (name, *spread(state), len(state)))
    print("schema: %d schemas, %d texts drawn (%d not ended in time), %d documents (%d valid), %d differences"
          % (t.schemas, t.drawn, t.unfinished, t.docs, t.valid, t.bad))
    return 1 if t.bad else 0


if __name__ == "__main__":
    sys.exit(main())
