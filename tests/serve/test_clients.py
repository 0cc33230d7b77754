#!/usr/bin/env python3
"""The clients that people use, against ward serve with bundled and golden models, and against a scripted server.

usage: test_clients.py WARD SCRIPTED_SERVER CHECKPOINTS MODELS [TESTS]   (in the environment of tools/venv)"""
import base64
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import typing
import unittest
import zlib

import jiter
import openai
import pydantic

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import program
from program import Server, answer, run

SCRIPTED, CKPT, MODELS = sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
HELLO = [{"role": "user", "content": "Which CRP was the latest?"}]
LABS = {"type": "function", "function": {
    "name": "labs", "description": "laboratory results",
    "parameters": {"type": "object", "properties": {"test": {"type": "string"}}, "required": ["test"]}}}
CALL = '<tool_call>\n{"name": "labs", "arguments": {"test": "CRP \\"high\\""}}\n</tool_call>'


def scripted(*replies):
    return program.scripted(SCRIPTED, *replies)


def client(url, **kw):
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=120, **kw)


def joined_calls(stream):
    """A stream's calls by index, joined as the API says: id and name with the first delta, then pieces of arguments. Each
    beginning of the arguments must be one that the client's reader of unfinished JSON takes. And the last chunk."""
    calls, chunk = {}, None
    for chunk in stream:
        for d in chunk.choices[0].delta.tool_calls or []:
            if d.index not in calls:
                assert d.id and d.type == "function" and d.function.name and d.function.arguments == "", d
                calls[d.index] = {"id": d.id, "name": d.function.name, "arguments": "", "pieces": []}
                continue
            assert d.id is None and d.function.name is None and d.function.arguments, d
            c = calls[d.index]
            c["pieces"].append(d.function.arguments)
            c["arguments"] += d.function.arguments
            assert isinstance(jiter.from_json(c["arguments"].encode(), partial_mode=True), dict)
    return calls, chunk


def png(width, height, value):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([value, y % 256, 7]) * width for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class RealModel(unittest.TestCase):
    """The bundled text model: what is said over HTTP is what the command line says."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server("-m", MODELS / "demo-text"))
        cls.client = client(cls.server.url)

    def chat(self, **kw):
        return self.client.chat.completions.create(model="demo-text", messages=HELLO, temperature=0, max_tokens=24, **kw)

    def test_the_reply_is_that_of_the_command_line_whole_and_streamed(self):
        want = answer("chat", "-m", MODELS / "demo-text", "-t", 0, "-n", 24, HELLO[0]["content"])
        r = self.chat()
        self.assertEqual(r.choices[0].message.content, want["text"])
        self.assertEqual(r.choices[0].finish_reason, want["finish_reason"])
        self.assertEqual(r.usage.prompt_tokens, want["usage"]["prompt_tokens"])
        self.assertEqual(r.usage.completion_tokens, want["usage"]["completion_tokens"])
        parts = list(self.chat(stream=True, stream_options={"include_usage": True}))
        text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        self.assertEqual(text, want["text"])
        self.assertGreater(len(parts), 6)
        self.assertEqual(parts[0].choices[0].delta.role, "assistant")
        self.assertEqual(parts[-2].choices[0].finish_reason, want["finish_reason"])
        self.assertEqual(parts[-1].usage.completion_tokens, r.usage.completion_tokens)
        self.assertGreater(parts[-1].usage.prompt_tokens_details.cached_tokens, 0)

    def test_logprobs_join_to_the_reply_whole_and_streamed(self):
        r = self.chat(logprobs=True, top_logprobs=3)
        tokens = r.choices[0].logprobs.content
        self.assertEqual(b"".join(bytes(t.bytes) for t in tokens).decode(), r.choices[0].message.content)
        for t in tokens:
            self.assertEqual(len(t.top_logprobs), 3)
            self.assertEqual(t.top_logprobs[0].token, t.token)  # greedy
            self.assertLessEqual(t.logprob, 0)
        streamed = [t for p in self.chat(logprobs=True, stream=True) for t in
                    (p.choices[0].logprobs.content if p.choices[0].logprobs else [])]
        self.assertEqual([t.logprob for t in streamed], [t.logprob for t in tokens])

    def test_a_seed_repeats_and_choices_differ(self):
        def sampled(seed, n=1):
            r = self.client.chat.completions.create(model="demo-text", messages=HELLO, temperature=1.5, seed=seed, n=n,
                                                    max_tokens=16)
            return [c.message.content for c in sorted(r.choices, key=lambda c: c.index)]
        three = sampled(5, 3)
        self.assertEqual(three, sampled(5, 3))
        self.assertEqual(three[0], sampled(5)[0])
        self.assertEqual(three[1], sampled(6)[0])
        self.assertGreater(len(set(three)), 1)

    def test_a_chat_as_tokens_is_continued_alike(self):
        t = self.server.get("/tokenize", {"messages": HELLO, "return_token_strs": True})
        want = self.chat()
        self.assertEqual(t["count"], want.usage.prompt_tokens)
        self.assertEqual(len(t["token_strs"]), t["count"])
        text = self.server.get("/detokenize", {"tokens": t["tokens"]})["prompt"]
        self.assertIn(HELLO[0]["content"], text)
        for prompt in (t["tokens"], text):
            r = self.client.completions.create(model="demo-text", prompt=prompt, temperature=0, max_tokens=24, echo=True,
                                               logprobs=2)
            self.assertEqual(r.choices[0].text, text + want.choices[0].message.content)
            lp = r.choices[0].logprobs
            self.assertEqual("".join(lp.tokens), text + want.choices[0].message.content)
            self.assertEqual([lp.tokens[:t["count"]], lp.text_offset[0], lp.text_offset[t["count"]]],
                             [t["token_strs"], 0, len(text.encode())])
            self.assertEqual([lp.token_logprobs[0], lp.top_logprobs[0]], [None, None])
            self.assertEqual({len(a) for a in (lp.tokens, lp.token_logprobs, lp.top_logprobs, lp.text_offset)}, {len(lp.tokens)})
            of_chat = self.chat(extra_body={"prompt_logprobs": 2}).prompt_logprobs
            for i in range(1, t["count"]):
                self.assertAlmostEqual(lp.token_logprobs[i], of_chat[i][str(t["tokens"][i])]["logprob"], 4)
                self.assertEqual(len(lp.top_logprobs[i]), 2)
        with self.assertRaises(openai.BadRequestError) as e:
            self.client.completions.create(model="demo-text", prompt="A", echo=True, logprobs=0, stream=True)
        self.assertEqual(e.exception.param, "logprobs")
        two = self.client.completions.create(model="demo-text", prompt=["A", "B"], temperature=0, max_tokens=4, stream=True)
        self.assertEqual({p.choices[0].index for p in two}, {0, 1})

    def test_stop_strings_and_limits(self):
        text = self.chat().choices[0].message.content
        r = self.chat(stop=[text[4:8]])
        self.assertEqual(r.choices[0].message.content, text[:text.index(text[4:8])])
        self.assertEqual(r.choices[0].finish_reason, "stop")
        with self.assertRaises(openai.BadRequestError) as e:
            self.client.chat.completions.create(model="demo-text", messages=[{"role": "user", "content": "x " * 20000}])
        self.assertEqual(e.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as e:
            self.chat(presence_penalty=9)
        self.assertEqual(e.exception.param, "presence_penalty")
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model="gpt-4o", messages=HELLO)
        with self.assertRaises(openai.BadRequestError) as e:
            self.client.chat.completions.create(model="demo-text", messages=[{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}])
        self.assertIn("no images", str(e.exception))

    def test_a_stream_ends_before_its_stop_string_wherever_tokens_end(self):
        text = self.chat().choices[0].message.content
        for at in range(0, min(len(text) - 6, 18), 3):
            stop = text[at:at + 6]
            parts = list(self.chat(stop=stop, stream=True))
            self.assertEqual("".join(p.choices[0].delta.content or "" for p in parts), text[:text.index(stop)])
            self.assertEqual(parts[-1].choices[0].finish_reason, "stop")

    def test_fields_of_vllm_and_newer_ones(self):
        r = self.client.chat.completions.create(model="demo-text", messages=HELLO, temperature=0, max_completion_tokens=3)
        self.assertEqual((r.usage.completion_tokens, r.choices[0].finish_reason), (3, "length"))
        ids = self.server.get("/tokenize", {"messages": HELLO})["tokens"]
        r = self.chat(extra_body={"prompt_logprobs": 2}).prompt_logprobs
        self.assertEqual((len(r), r[0]), (len(ids), None))
        for i, seen in enumerate(r[1:], 1):
            self.assertIn(str(ids[i]), seen)  # the token itself, whether it is among the best or not
            self.assertEqual(sorted(x["rank"] for x in seen.values() if x["rank"]), [1, 2])
            self.assertTrue(all(x["logprob"] <= 0 and isinstance(x["decoded_token"], str) for x in seen.values()))
            best = {x["rank"]: x["logprob"] for x in seen.values() if x["rank"]}
            self.assertTrue(best[1] >= best[2] >= min(x["logprob"] for x in seen.values()))
        r = self.client.completions.create(model="demo-text", prompt=ids, temperature=0, max_tokens=8, logprobs=2).choices[0].logprobs
        for token, lp, top in zip(r.tokens, r.token_logprobs, r.top_logprobs, strict=True):
            self.assertEqual((len(top), max(top.values()), top[token]), (2, lp, lp))  # greedy

    def test_metrics_have_vllms_names(self):
        self.chat(stream=True)
        types, values = {}, {}
        for line in self.server.ask("GET", "/metrics")[2].decode().splitlines():
            if line.startswith("# TYPE "):
                types.update([line.split()[2:]])
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
                family = name.split("{")[0]
                self.assertTrue(family in types or family.rsplit("_", 1)[0] in types, line)
        # docs.vllm.ai, "Production Metrics"; counters with the suffix that Prometheus' client gives them
        for kind, names in {
                "gauge": "num_requests_running num_requests_waiting kv_cache_usage_perc",
                "counter": "prompt_tokens_total generation_tokens_total request_success_total num_preemptions_total "
                           "prefix_cache_queries_total prefix_cache_hits_total mm_cache_queries_total mm_cache_hits_total",
                "histogram": "time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds "
                             "request_queue_time_seconds request_prompt_tokens request_generation_tokens"}.items():
            for name in names.split():
                self.assertEqual(types.get("vllm:" + name), kind, name)
                if kind == "histogram":
                    runs = [v for k, v in values.items() if k.startswith(f"vllm:{name}_bucket")]
                    self.assertEqual(runs, sorted(runs))
                    self.assertEqual(runs[-1], values[f'vllm:{name}_count{{model_name="demo-text"}}'])
                    self.assertGreater(runs[-1], 0)
        self.assertTrue(any(k.startswith("ward_build_info{version=") for k in values))

    def test_models_and_embeddings(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["demo-text"])
        self.assertEqual(self.client.models.retrieve("demo-text").owned_by, "ward")
        want = answer("embed", "-m", MODELS / "demo-text", "a nodule")["embedding"]
        packed = self.client.embeddings.create(model="demo-text", input=["a nodule", "no fracture"])  # base64 inside
        plain = self.client.embeddings.create(model="demo-text", input="a nodule", encoding_format="float")
        self.assertEqual(len(packed.data), 2)
        for got in packed, plain:
            for x, y in zip(got.data[0].embedding, want, strict=True):
                self.assertAlmostEqual(x, y, delta=1e-7)
        short = self.client.embeddings.create(model="demo-text", input="a nodule", dimensions=16)
        self.assertEqual(len(short.data[0].embedding), 16)
        with self.assertRaises(openai.BadRequestError) as e:
            self.client.embeddings.create(model="demo-text", input=[[1, 2, 3]])
        self.assertEqual(e.exception.param, "input")

    def test_replies_parse_into_what_was_asked_for(self):
        class Finding(pydantic.BaseModel):
            organ: typing.Literal["lung", "heart"]
            size_mm: int = pydantic.Field(ge=1, le=40)
            benign: bool
        for seed in range(4):
            r = self.client.chat.completions.parse(model="demo-text", messages=HELLO, response_format=Finding,
                                                   temperature=1, seed=seed, max_tokens=200)
            self.assertIsInstance(r.choices[0].message.parsed, Finding)
        with self.client.chat.completions.stream(model="demo-text", messages=HELLO, response_format=Finding, temperature=1,
                                                 seed=9, max_tokens=200) as s:
            self.assertIsInstance(s.get_final_completion().choices[0].message.parsed, Finding)
        r = self.client.chat.completions.create(model="demo-text", messages=HELLO, temperature=1, max_tokens=20,
                                                extra_body={"structured_outputs": {"choice": ["yes", "no"]}})
        self.assertIn(r.choices[0].message.content, ("yes", "no"))

    def test_a_demanded_call_satisfies_its_schema(self):
        tool = {"type": "function", "function": {"name": "labs", "parameters": {"type": "object", "properties": {
            "test": {"enum": ["CRP", "potassium"]}, "last": {"$ref": "#/$defs/n"}}, "required": ["test", "last"],
            "additionalProperties": False, "$defs": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}}}}
        for choice in ("required", {"type": "function", "function": {"name": "labs"}}):
            r = self.client.chat.completions.create(model="demo-text", messages=HELLO, tools=[LABS | {"function": {
                "name": "other"}}, tool] if choice != "required" else [tool], tool_choice=choice, temperature=1, seed=3)
            (call,) = r.choices[0].message.tool_calls
            got = json.loads(call.function.arguments)
            self.assertEqual(call.function.name, "labs")
            self.assertTrue(got["test"] in ("CRP", "potassium") and 1 <= got["last"] <= 9, got)
            self.assertEqual(r.choices[0].finish_reason, "tool_calls")

    def test_a_held_call_is_streamed_piece_by_piece(self):
        tool = {"type": "function", "function": {"name": "labs", "parameters": {"type": "object", "properties": {
            "test": {"type": "string", "minLength": 12, "maxLength": 20}, "of": {"type": "object", "properties": {
                "days": {"type": "array", "items": {"type": "integer", "maximum": 99}, "minItems": 2, "maxItems": 4}},
                "required": ["days"], "additionalProperties": False}},
            "required": ["test", "of"], "additionalProperties": False}}}
        ask = dict(model="demo-text", messages=HELLO, tools=[tool], tool_choice="required", parallel_tool_calls=False, temperature=1, seed=5)
        (whole,) = self.client.chat.completions.create(**ask).choices[0].message.tool_calls
        calls, p = joined_calls(self.client.chat.completions.create(**ask, stream=True))
        self.assertEqual((calls[0]["name"], calls[0]["arguments"]), ("labs", whole.function.arguments))
        self.assertGreater(len(calls[0]["pieces"]), 5)
        self.assertEqual(p.choices[0].finish_reason, "tool_calls")
        self.assertGreaterEqual(len(json.loads(whole.function.arguments)["of"]["days"]), 2)
        for cut in range(2, 30, 7):  # an output that ends anywhere: the beginning of the same call
            calls, p = joined_calls(self.client.chat.completions.create(**ask, stream=True, max_tokens=cut))
            for c in calls.values():
                self.assertTrue(whole.function.arguments.startswith(c["arguments"]))
            self.assertEqual(p.choices[0].finish_reason, "length")

    def test_responses_say_what_chat_says_whole_and_streamed(self):
        want = self.chat()
        ask = dict(model="demo-text", input=HELLO[0]["content"], temperature=0, max_output_tokens=24)
        r = self.client.responses.create(**ask)
        self.assertEqual(r.output_text, want.choices[0].message.content)
        self.assertEqual(r.status, "completed" if want.choices[0].finish_reason == "stop" else "incomplete")
        self.assertEqual((r.usage.input_tokens, r.usage.output_tokens),
                         (want.usage.prompt_tokens, want.usage.completion_tokens))
        with self.client.responses.stream(**ask) as s:
            events = list(s)
        kinds = [e.type for e in events]
        self.assertEqual(kinds[-1], "response." + r.status)
        self.assertEqual(events[-1].response.output_text, r.output_text)
        self.assertEqual(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added",
                                     "response.content_part.added"])
        self.assertGreater(kinds.count("response.output_text.delta"), 5)
        again = self.client.responses.create(**ask | {"input": HELLO + r.output + [{"role": "user", "content": "And?"}]})
        self.assertGreater(again.usage.input_tokens, r.usage.total_tokens)
        self.assertGreater(again.usage.input_tokens_details.cached_tokens, 0)
        cut = self.client.responses.create(**ask | {"max_output_tokens": 2})
        self.assertEqual((cut.status, cut.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        with self.assertRaises(openai.NotFoundError) as e:
            self.client.responses.create(**ask, previous_response_id=r.id)  # it did not say store
        self.assertEqual(e.exception.param, "previous_response_id")

    def test_kept_responses_are_continued_read_and_deleted(self):
        ask = dict(model="demo-text", temperature=0, max_output_tokens=24)
        first = self.client.responses.create(**ask, input=HELLO[0]["content"], store=True)
        then = self.client.responses.create(**ask, input="And?", previous_response_id=first.id, store=True)
        sent = self.client.responses.create(**ask, input=HELLO + first.output + [{"role": "user", "content": "And?"}])
        self.assertEqual(then.output_text, sent.output_text)
        self.assertEqual(then.usage.input_tokens, sent.usage.input_tokens)
        self.assertEqual(then.previous_response_id, first.id)
        self.assertEqual(self.client.responses.retrieve(then.id).to_dict(), then.to_dict())
        many = self.client.responses.create(**ask, input=[{"role": "user", "content": str(i)} for i in range(5)], store=True)
        listed = list(self.client.responses.input_items.list(many.id, limit=2, order="asc"))  # in pages
        self.assertEqual([(x.type, x.role, x.content[0].text) for x in listed],
                         [("message", "user", str(i)) for i in range(5)])
        with self.assertRaises(openai.NotFoundError):
            self.client.responses.input_items.list("resp_0123456789abcdefghijABCD")
        self.client.responses.delete(first.id)
        for gone in (lambda: self.client.responses.retrieve(first.id),
                     lambda: self.client.responses.create(**ask, input="x", previous_response_id=then.id)):
            with self.assertRaises(openai.NotFoundError):
                gone()

    def test_responses_parse_into_what_was_asked_for(self):
        class Finding(pydantic.BaseModel):
            organ: typing.Literal["lung", "heart"]
            size_mm: int = pydantic.Field(ge=1, le=40)
        ask = dict(model="demo-text", input="A nodule?", text_format=Finding, temperature=1, max_output_tokens=200)
        r = self.client.responses.parse(**ask, extra_body={"seed": 3})
        self.assertIsInstance(r.output_parsed, Finding)
        with self.client.responses.stream(**ask) as s:
            self.assertIsInstance(s.get_final_response().output_parsed, Finding)

    def test_langchain(self):
        from langchain_core.messages import HumanMessage
        from langchain_openai import ChatOpenAI, OpenAIEmbeddings
        llm = ChatOpenAI(model="demo-text", base_url=self.server.url + "/v1", api_key="none", temperature=0, max_tokens=24)
        want = self.chat().choices[0].message.content
        self.assertEqual(llm.invoke([HumanMessage(HELLO[0]["content"])]).content, want)
        self.assertEqual("".join(p.content for p in llm.stream(HELLO[0]["content"])), want)
        e = OpenAIEmbeddings(model="demo-text", base_url=self.server.url + "/v1", api_key="none", check_embedding_ctx_length=False)
        self.assertEqual(len(e.embed_query("a nodule")), len(e.embed_documents(["x"])[0]))


class GoldenModel(unittest.TestCase):
    """Random weights with eyes: pictures go in, scores are those of the command line."""

    def test_pictures_and_reranking(self):
        picture = CKPT.parent / "client.png"
        picture.write_bytes(png(96, 64, 90))
        url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
        want = answer("chat", "-m", CKPT / "vl-dense", "-t", 0, "-n", 8, "-i", picture, "What is it?")
        documents = ["Blunted sinus.", "No fracture.", "A nodule of 8 mm in the right upper lobe."]
        scores = answer("rerank", "-m", CKPT / "vl-dense", "nodule", *documents)["results"]
        with Server("-m", CKPT / "vl-dense") as server:
            r = client(server.url).chat.completions.create(model="vl-dense", temperature=0, max_tokens=8, messages=[
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}},
                                             {"type": "text", "text": "What is it?"}]}])
            self.assertEqual(r.choices[0].message.content, want["text"])
            self.assertEqual(r.usage.prompt_tokens, want["usage"]["prompt_tokens"])
            for path in ("/v1/rerank", "/v2/rerank"):
                got = server.get(path, {"query": "nodule", "documents": documents, "top_n": 2})
                self.assertEqual([x["index"] for x in got["results"]], [x["index"] for x in scores[:2]])
                for x, y in zip(got["results"], scores):
                    self.assertAlmostEqual(x["relevance_score"], y["score"], delta=1e-6)
                self.assertEqual("document" in got["results"][0], path == "/v1/rerank")
            mixed = server.get("/v1/rerank", {"query": {"text": "nodule", "image": url}, "documents": [
                {"image": url}, {"text": "x"}, "y"]})
            self.assertEqual(len(mixed["results"]), 3)
            self.assertEqual(server.get("/v2/rerank", {"query": {"text": "nodule", "image": url}, "documents": [
                {"image": url}, {"text": "x"}, "y"]})["results"], [{k: x[k] for k in ("index", "relevance_score")} for x in mixed["results"]])
            # pictures have the scores together that they have alone, to the bit
            r = subprocess.run([sys.executable, pathlib.Path(__file__).resolve().parents[2] / "bench/rerank.py", "--url", server.url + "/v1",
                                "--size", "96x64", "--rounds", "1", "--json"], capture_output=True, timeout=program.PATIENCE)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual((json.loads(r.stdout)["documents"], json.loads(r.stdout)["scores_apart"]), (12, 0))
            v = server.get("/v1/embeddings", {"input": [{"text": "a film", "image": url}, "a film"]})
            self.assertNotEqual(v["data"][0]["embedding"], v["data"][1]["embedding"])


    def test_dicom_and_video_are_seen_as_on_the_command_line(self):
        folder = CKPT.parent
        film = folder / "client.dcm"
        film.write_bytes((pathlib.Path(__file__).parent.parent / "golden/dicom/window_linear.dcm").read_bytes())
        video = folder / "client.mp4"
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=96x64:rate=4:duration=2",
                        "-pix_fmt", "yuv420p", video], check=True, stdin=subprocess.DEVNULL)
        as_url = lambda path: "data:application/octet-stream;base64," + base64.b64encode(path.read_bytes()).decode()
        cases = [(["-i", film, "--window", "40/400"], {"type": "image_url", "image_url": {"url": as_url(film), "window": "40/400"}}),
                 (["-i", film], {"type": "file", "file": {"file_data": as_url(film), "filename": "x.dcm"}}),
                 (["--video", video], {"type": "video_url", "video_url": {"url": as_url(video)}})]
        with Server("-m", CKPT / "vl-dense") as server:
            seen = set()
            for options, part in cases:
                want = answer("chat", "-m", CKPT / "vl-dense", "-t", 0, "-n", 8, *options, "What is it?")
                r = client(server.url).chat.completions.create(model="vl-dense", temperature=0, max_tokens=8, messages=[
                    {"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}])
                self.assertEqual(r.choices[0].message.content, want["text"])
                self.assertEqual(r.usage.prompt_tokens, want["usage"]["prompt_tokens"])
                seen.add((r.choices[0].message.content, r.usage.prompt_tokens))
            self.assertEqual(len(seen), 3)
            with self.assertRaises(openai.BadRequestError) as e:
                client(server.url).responses.create(model="vl-dense", input=[{"role": "user", "content": [
                    {"type": "input_file", "file_data": as_url(film), "window": "nonsense"}]}])
            self.assertIn("window", str(e.exception))


    def test_files_are_kept_shown_and_deleted(self):
        film = pathlib.Path(__file__).parent.parent / "golden/dicom/window_linear.dcm"
        want = answer("chat", "-m", CKPT / "vl-dense", "-t", 0, "-n", 8, "-i", film, "What is it?")
        with Server("-m", CKPT / "vl-dense") as server:
            c = client(server.url)
            kept = c.files.create(file=film, purpose="user_data",
                                  expires_after={"anchor": "created_at", "seconds": 3600})
            self.assertEqual((kept.filename, kept.bytes, kept.expires_at - kept.created_at),
                             (film.name, film.stat().st_size, 3600))
            other = c.files.create(file=("x.png", png(8, 8, 1)), purpose="vision")
            self.assertEqual([f.id for f in c.files.list(limit=1)], [other.id, kept.id])  # pages, newest first
            self.assertEqual(c.files.retrieve(kept.id), kept)
            self.assertEqual(c.files.content(kept.id).read(), film.read_bytes())
            r = c.chat.completions.create(model="vl-dense", temperature=0, max_tokens=8, messages=[{"role": "user", "content": [
                {"type": "file", "file": {"file_id": kept.id}}, {"type": "text", "text": "What is it?"}]}])
            self.assertEqual(r.choices[0].message.content, want["text"])
            r = c.responses.create(model="vl-dense", temperature=0, max_output_tokens=8, input=[{"role": "user", "content": [
                {"type": "input_file", "file_id": kept.id}, {"type": "input_text", "text": "What is it?"}]}])
            self.assertEqual(r.output_text, want["text"])
            self.assertTrue(c.files.delete(kept.id).deleted)
            with self.assertRaises(openai.NotFoundError):
                c.files.content(kept.id)
            with self.assertRaises(openai.BadRequestError):
                c.files.create(file=("x.pdf", b"%PDF-1.7"), purpose="user_data")

    def test_coheres_client_ranks(self):
        import cohere
        documents = ["Blunted sinus.", "No fracture.", "A nodule of 8 mm in the right upper lobe."]
        want = answer("rerank", "-m", CKPT / "vl-dense", "nodule", *documents)["results"]
        with Server("-m", CKPT / "vl-dense") as server:
            got = cohere.ClientV2(api_key="none", base_url=server.url).rerank(model="vl-dense", query="nodule",
                                                                          documents=documents, top_n=2)
            self.assertEqual([x.index for x in got.results], [x["index"] for x in want[:2]])
            for x, y in zip(got.results, want):
                self.assertAlmostEqual(x.relevance_score, y["score"], delta=1e-6)

    def test_a_client_of_jinas_ranks(self):
        os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
        from haystack import Document
        from haystack.utils import Secret
        from haystack_integrations.components.rankers.jina import JinaRanker
        texts = ["Blunted sinus.", "No fracture.", "A nodule of 8 mm in the right upper lobe."]
        want = answer("rerank", "-m", CKPT / "vl-dense", "nodule", *texts)["results"]
        with Server("-m", CKPT / "vl-dense") as server:
            def ranked(**kw):
                r = JinaRanker(api_key=Secret.from_token("none"), model="vl-dense", base_url=server.url + "/v1/rerank", **kw)
                return r.run(query="nodule", documents=[Document(content=x) for x in texts])
            for top in (2, 3):
                got = ranked(top_k=top)["documents"]
                self.assertEqual([d.content for d in got], [texts[x["index"]] for x in want[:top]])
                for d, y in zip(got, want):
                    self.assertAlmostEqual(d.score, y["score"], delta=1e-6)
            # it takes a score from 0 to 1, as Jina's are: what is less relevant is left out
            between = (want[0]["score"] + want[1]["score"]) / 2
            self.assertEqual([d.content for d in ranked(top_k=3, score_threshold=between)["documents"]], [texts[want[0]["index"]]])


class Service(unittest.TestCase):
    """What the service manager and the network see."""

    def test_tls_is_spoken_to_those_who_trust_the_certificate(self):
        import httpx
        folder = CKPT.parent
        cert, key = folder / "client.crt", folder / "client.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        with Server("-m", MODELS / "demo-text", "--tls-cert", cert, "--tls-key", key) as server:
            trusts = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0,
                                   http_client=httpx.Client(verify=ssl.create_default_context(cafile=str(cert))))
            parts = list(trusts.chat.completions.create(model="demo-text", messages=HELLO, temperature=0, max_tokens=8,
                                                        stream=True))
            self.assertGreater(len(parts), 3)
            with self.assertRaises(openai.APIConnectionError) as e:
                client(server.url).models.list()
            self.assertIn("CERTIFICATE_VERIFY_FAILED", repr(e.exception.__cause__))
            with self.assertRaises(openai.APIConnectionError):
                client(server.url.replace("https", "http")).models.list()
        r = run("serve", "-m", MODELS / "demo-text", "--port", 0, "--address", "0.0.0.0")
        self.assertEqual(r.returncode, 2)
        self.assertIn(b"TLS certificate", r.stderr)

    def test_the_service_manager_is_told(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(folder + "/notify")
            s.settimeout(60)
            with Server("-m", MODELS / "demo-text", NOTIFY_SOCKET=folder + "/notify") as server:
                self.assertEqual(s.recv(100), b"READY=1")
                self.assertEqual(server.get("/ready"), {"status": "ready"})
            self.assertEqual(s.recv(100), b"STOPPING=1")


class Tools(unittest.TestCase):
    """A scripted model: what matters is what clients make of it."""

    def test_a_run_loop(self):
        with scripted(CALL, "It was 12.") as url:
            c, messages = client(url), list(HELLO)
            for _ in range(4):
                r = c.chat.completions.create(model="scripted", messages=messages, tools=[LABS], tool_choice="auto")
                m = r.choices[0].message
                if r.choices[0].finish_reason != "tool_calls":
                    break
                messages.append(m)
                for call in m.tool_calls:
                    self.assertEqual(json.loads(call.function.arguments), {"test": 'CRP "high"'})
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": "12 mg/l"})
            self.assertEqual(m.content, "It was 12.")
            self.assertEqual([x if isinstance(x, str) else "assistant" for x in
                              (y["role"] if isinstance(y, dict) else y for y in messages)], ["user", "assistant", "tool"])

    def test_streamed_calls_join_with_reasoning_before_them(self):
        with scripted("<think>\nLet me look.\n</think>\n\nA moment.\n" + CALL + "\n" + CALL) as url:
            text, reasoning, calls = "", "", {}
            for p in client(url).chat.completions.create(model="scripted", messages=HELLO, tools=[LABS], stream=True):
                d = p.choices[0].delta
                text += d.content or ""
                reasoning += getattr(d, "reasoning_content", None) or ""
                for call in d.tool_calls or []:
                    c = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
                    c["arguments"] += call.function.arguments
            self.assertEqual((text, reasoning), ("A moment.", "Let me look."))
            self.assertEqual([json.loads(calls[i]["arguments"])["test"] for i in (0, 1)], ['CRP "high"'] * 2)
            self.assertEqual(len({c["id"] for c in calls.values()}), 2)
            self.assertEqual(p.choices[0].finish_reason, "tool_calls")

    def test_the_clients_own_stream_helper(self):
        with scripted(CALL) as url:
            with client(url).chat.completions.stream(model="scripted", messages=HELLO, tools=[LABS]) as s:
                kinds = {e.type for e in s}
                r = s.get_final_completion()
            self.assertIn("tool_calls.function.arguments.done", kinds)
            self.assertEqual(r.choices[0].message.tool_calls[0].function.name, "labs")

    def test_calls_grow_in_the_clients_hands(self):
        class Place(pydantic.BaseModel):
            ward: str
            beds: list[int]

        class Labs(pydantic.BaseModel):
            test: str
            place: Place
            notes: list[str]
        tool = openai.pydantic_function_tool(Labs, name="labs")
        asked = [{"test": 'CRP "high"\\', "place": {"ward": "3é", "beds": [1, 22]}, "notes": ["漢字\n", "}]</tool_call>\x1f"]},
                 {"test": "", "place": {"ward": "x" * 40, "beds": []}, "notes": []}]
        reply = "<think>\nLet me look.\n</think>\n\nA moment.\n" + "\n".join(
            "<tool_call>\n%s\n</tool_call>" % json.dumps({"name": "labs", "arguments": a}, ensure_ascii=False) for a in asked)
        with scripted("--holds-calls", reply) as url:
            c, pieces = client(url), {0: [], 1: []}
            ask = dict(model="scripted", messages=HELLO, tools=[tool])
            whole = [x.function.arguments for x in c.chat.completions.create(**ask).choices[0].message.tool_calls]
            self.assertEqual([json.loads(x) for x in whole], asked)
            calls, p = joined_calls(c.chat.completions.create(**ask, stream=True))
            self.assertEqual([calls[i]["arguments"] for i in (0, 1)], whole)
            self.assertEqual(p.choices[0].finish_reason, "tool_calls")
            with c.chat.completions.stream(**ask) as s:
                for e in s:
                    if e.type == "tool_calls.function.arguments.delta" and e.arguments_delta:
                        pieces[e.index].append(e.arguments_delta)
                        self.assertEqual(e.arguments, "".join(pieces[e.index]))
                        self.assertIsInstance(e.parsed_arguments, dict)  # as far as it goes
                r = s.get_final_completion().choices[0].message
            self.assertEqual([x.function.parsed_arguments for x in r.tool_calls], [Labs(**a) for a in asked])
            self.assertEqual(["".join(pieces[i]) for i in (0, 1)], whole)
            self.assertGreater(min(map(len, pieces.values())), 8)
            self.assertEqual((r.content, r.reasoning_content), ("A moment.", "Let me look."))

            with Server("-m", url + "/v1") as front:  # another server's calls grow here as they do there
                calls, p = joined_calls(client(front.url).chat.completions.create(**ask, stream=True))
                self.assertEqual([calls[i]["arguments"] for i in (0, 1)], whole)
                self.assertGreater(min(len(calls[i]["pieces"]) for i in (0, 1)), 8)
                self.assertEqual(p.choices[0].finish_reason, "tool_calls")

            tool = {"type": "function", "name": "labs", "parameters": Labs.model_json_schema(), "strict": False}
            pieces, done = {}, {}
            with c.responses.stream(model="scripted", input=HELLO, tools=[tool]) as s:
                for e in s:
                    if e.type == "response.function_call_arguments.delta":
                        pieces.setdefault(e.output_index, []).append(e.delta)
                        self.assertEqual(e.snapshot, "".join(pieces[e.output_index]))
                    elif e.type == "response.function_call_arguments.done":
                        done[e.output_index] = e.arguments
                r = s.get_final_response()
            self.assertEqual({i: "".join(p) for i, p in pieces.items()}, done)
            self.assertEqual([x.arguments for x in r.output if x.type == "function_call"], whole)
            self.assertGreater(min(map(len, pieces.values())), 8)
            self.assertEqual([x.type for x in r.output], ["reasoning", "message", "function_call", "function_call"])

    def test_a_run_loop_of_responses(self):
        tool = {"type": "function", "name": "labs", "parameters": LABS["function"]["parameters"]}
        for stream in (False, True):
            with scripted("<think>\nLet me look.\n</think>\n\n" + CALL, "It was 12.") as url:
                c, said = client(url), list(HELLO)
                for _ in range(4):
                    ask = dict(model="scripted", input=said, tools=[tool])
                    if stream:
                        with c.responses.stream(**ask) as s:
                            r = s.get_final_response()
                    else:
                        r = c.responses.create(**ask)
                    calls = [x for x in r.output if x.type == "function_call"]
                    if not calls:
                        break
                    self.assertEqual(r.output[0].content[0].text, "Let me look.")
                    said += r.output
                    for call in calls:
                        self.assertEqual(json.loads(call.arguments), {"test": 'CRP "high"'})
                        said.append({"type": "function_call_output", "call_id": call.call_id, "output": "12 mg/l"})
                self.assertEqual(r.output_text, "It was 12.")

    def test_langchain_speaks_responses(self):
        from langchain_openai import ChatOpenAI
        with scripted(CALL) as url:
            llm = ChatOpenAI(model="scripted", base_url=url + "/v1", api_key="none", use_responses_api=True)
            got = llm.bind_tools([LABS]).invoke("x")
            self.assertEqual(got.tool_calls[0]["args"], {"test": 'CRP "high"'})

    def test_langchain_binds_tools(self):
        from langchain_openai import ChatOpenAI
        with scripted(CALL) as url:
            llm = ChatOpenAI(model="scripted", base_url=url + "/v1", api_key="none").bind_tools([LABS])
            whole = llm.invoke("x")
            self.assertEqual(whole.tool_calls[0]["args"], {"test": 'CRP "high"'})
            joined = None
            for part in llm.stream("x"):
                joined = part if joined is None else joined + part
            self.assertEqual(joined.tool_calls[0]["args"], {"test": 'CRP "high"'})

    def test_one_call_where_parallel_ones_are_refused(self):
        with scripted(CALL + CALL) as url:
            c = client(url)
            r = c.chat.completions.create(model="scripted", messages=HELLO, tools=[LABS], parallel_tool_calls=False)
            self.assertEqual(len(r.choices[0].message.tool_calls), 1)
            r = c.chat.completions.create(model="scripted", messages=HELLO, tools=[LABS], tool_choice="none")
            self.assertIsNotNone(r.choices[0].message)

    def test_many_at_once(self):
        import concurrent.futures
        with scripted("word " * 50) as url:
            c = client(url)
            ask = lambda i: c.chat.completions.create(model="scripted", messages=HELLO, stream=bool(i % 2))
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                for i, r in enumerate(pool.map(ask, range(64))):
                    text = "".join(p.choices[0].delta.content or "" for p in r) if i % 2 else r.choices[0].message.content
                    self.assertEqual(text, "word " * 50)


unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=1)
