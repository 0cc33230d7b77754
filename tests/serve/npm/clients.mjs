// npm's openai package against servers that tests/serve/test_npm.py started. The first argument says where they are and what
// replies are: {"ward", "texts": {"reply", ...}, "loop", ...}.
import assert from 'node:assert/strict';
import buffer from 'node:buffer';
import { test } from 'node:test';

globalThis.File ??= buffer.File; // Debian 12's node has it there only

const { default: OpenAI, toFile } = await import('openai');
const { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } = await import('openai/helpers/zod');
const { z } = await import('zod');

const given = JSON.parse(process.argv[2]);
const at = (url) => new OpenAI({ baseURL: url + '/v1', apiKey: 'none', maxRetries: 0, timeout: 120000 });
const ward = at(given.ward);
const question = 'Which CRP was the latest?';
const hello = [{ role: 'user', content: question }];
const plain = { model: 'demo-text', messages: hello, temperature: 0, max_tokens: 24 };
const Finding = z.object({ organ: z.enum(['lung', 'heart']), size_mm: z.number().int().min(1).max(40), benign: z.boolean() });
const Labs = z.object({ test: z.enum(['CRP', 'potassium']), last: z.number().int().min(1).max(9) });
const Found = z.object({ test: z.string() });
const high = { test: 'CRP "high"' }; // what the scripted servers' calls ask for

const all = async (stream) => {
  const got = [];
  for await (const part of stream) got.push(part);
  return got;
};
const refused = async (promise, kind, fields) => {
  await assert.rejects(promise, (e) => {
    assert(e instanceof kind, e);
    for (const [key, value] of Object.entries(fields)) assert.equal(e[key], value);
    return true;
  });
};

test('the reply is that of the command line, whole, streamed and by the stream helper', async () => {
  const r = await ward.chat.completions.create(plain);
  assert.equal(r.choices[0].message.content, given.want.text);
  assert.equal(r.choices[0].finish_reason, given.want.finish_reason);
  assert.equal(r.usage.prompt_tokens, given.want.usage.prompt_tokens);
  assert.equal(r.usage.completion_tokens, given.want.usage.completion_tokens);

  const parts = await all(await ward.chat.completions.create({ ...plain, stream: true, stream_options: { include_usage: true } }));
  assert(parts.length > 6);
  assert.equal(parts[0].choices[0].delta.role, 'assistant');
  assert.equal(parts.map((p) => p.choices[0]?.delta.content ?? '').join(''), given.want.text);
  assert.equal(parts.at(-2).choices[0].finish_reason, given.want.finish_reason);
  assert.equal(parts.at(-1).usage.total_tokens, r.usage.total_tokens);

  let grown = '';
  const s = ward.chat.completions.stream({ ...plain, logprobs: true });
  s.on('content', (delta, snapshot) => {
    grown += delta;
    assert.equal(grown, snapshot);
  });
  const logprobs = [];
  s.on('logprobs.content.delta', (e) => logprobs.push(...e.content));
  assert.equal(await s.finalContent(), given.want.text);
  assert.equal(grown, given.want.text);
  assert.equal(Buffer.concat(logprobs.map((t) => Buffer.from(t.bytes))).toString(), given.want.text);
});

test('a stream that is left ends', async () => {
  const s = await ward.chat.completions.create({ ...plain, max_tokens: 4000, ignore_eos: true, stream: true });
  let n = 0;
  for await (const part of s) if (part.choices[0]?.delta.content && ++n === 3) break;
  assert(s.controller.signal.aborted);
  const controller = new AbortController();
  const late = ward.chat.completions.create({ ...plain, max_tokens: 4000, ignore_eos: true }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  await refused(late, OpenAI.APIUserAbortError, {});
});

test('replies parse into what was asked for', async () => {
  const ask = { ...plain, response_format: zodResponseFormat(Finding, 'finding'), temperature: 1, max_tokens: 200 };
  for (let seed = 0; seed < 4; seed++) {
    const r = await ward.chat.completions.parse({ ...ask, seed });
    assert.deepEqual(Finding.parse(r.choices[0].message.parsed), r.choices[0].message.parsed);
  }
  const s = ward.chat.completions.stream({ ...ask, seed: 9 });
  const partial = [];
  s.on('content.delta', (e) => partial.push(e.parsed));
  const done = (await s.finalChatCompletion()).choices[0].message.parsed;
  assert.deepEqual(Finding.parse(done), done);
  assert(partial.some((p) => p && Object.keys(p).length < 3)); // what is streamed can be read as it grows
  const cut = ward.chat.completions.parse({ ...ask, max_tokens: 3 });
  await refused(cut, OpenAI.OpenAIError, {}); // its beginning is not taken for the whole
});

test('a demanded call is run with arguments of its schema', async () => {
  for (const stream of [false, true]) {
    const seen = [];
    const tool = zodFunction({ name: 'labs', parameters: Labs, function: (args) => (seen.push(args), '12 mg/l') });
    const r = ward.chat.completions.runTools({
      ...plain, tools: [tool], tool_choice: { type: 'function', function: { name: 'labs' } }, temperature: 1, seed: 3, max_tokens: 200,
      stream,
    });
    await r.done();
    assert.equal(seen.length, 1);
    assert.deepEqual(Labs.parse(seen[0]), seen[0]);
    assert.equal((await r.finalFunctionToolCall()).name, 'labs');
  }
});

test('runTools runs calls until the answer, whole and streamed', async () => {
  for (const stream of [false, true]) {
    const seen = [];
    const tool = zodFunction({ name: 'labs', parameters: Found, function: (args) => (seen.push(args), { value: '12 mg/l' }) });
    const r = at(stream ? given.loop_streamed : given.loop).chat.completions.runTools({ model: 'scripted', messages: hello, tools: [tool], stream,
      ...(stream && { stream_options: { include_usage: true } }) });
    const results = [];
    r.on('functionToolCallResult', (text) => results.push(text));
    assert.equal(await r.finalContent(), 'It was 12.');
    assert.deepEqual(seen, [high, high]); // two calls of one reply
    assert.deepEqual(results, ['{"value":"12 mg/l"}', '{"value":"12 mg/l"}']);
    assert.deepEqual(r.messages.map((m) => m.role), ['user', 'assistant', 'tool', 'tool', 'assistant']);
    assert.equal(new Set(r.messages.flatMap((m) => m.tool_calls ?? []).map((c) => c.id)).size, 2);
    assert((await r.totalUsage()).completion_tokens > 0);
  }
});

test('streamed calls join, with reasoning before them', async () => {
  let reasoning = '';
  const s = at(given.reasons).chat.completions.stream({ model: 'scripted', messages: hello, tools: [zodFunction({ name: 'labs', parameters: Found })] });
  const done = [];
  s.on('chunk', (p) => (reasoning += p.choices[0]?.delta.reasoning_content ?? ''));
  s.on('tool_calls.function.arguments.done', (e) => done.push(e.parsed_arguments));
  const r = await s.finalChatCompletion();
  assert.equal(reasoning, 'Let me look.');
  assert.equal(r.choices[0].message.content, 'A moment.');
  assert.equal(r.choices[0].finish_reason, 'tool_calls');
  assert.deepEqual(r.choices[0].message.tool_calls.map((c) => c.function.parsed_arguments), [high, high]);
  assert.deepEqual(done, [high, high]);
});

test('responses say what chat says, whole and streamed, and go on', async () => {
  const ask = { model: 'demo-text', input: question, temperature: 0, max_output_tokens: 24 };
  const r = await ward.responses.create(ask);
  assert.equal(r.output_text, given.want.text);
  assert.equal(r.usage.input_tokens, given.want.usage.prompt_tokens);
  assert.equal(r.usage.output_tokens, given.want.usage.completion_tokens);
  const events = await all(await ward.responses.create({ ...ask, stream: true }));
  assert.deepEqual(events.slice(0, 4).map((e) => e.type), ['response.created', 'response.in_progress', 'response.output_item.added',
    'response.content_part.added']);
  assert.equal(events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''), given.want.text);
  assert.equal(events.at(-1).type, 'response.' + r.status);
  const s = ward.responses.stream(ask);
  assert.equal((await s.finalResponse()).output.at(-1).content[0].text, given.want.text);
  const again = await ward.responses.create({ ...ask, input: [...hello, ...r.output, { role: 'user', content: 'And?' }] });
  assert(again.usage.input_tokens > r.usage.total_tokens);
  assert(again.usage.input_tokens_details.cached_tokens > 0);
  await refused(ward.responses.create({ ...ask, temperature: 9 }), OpenAI.BadRequestError, { param: 'temperature' });
});

test('a kept response is read, listed and deleted', async () => {
  const input = [1, 2, 3].map((i) => ({ role: 'user', content: String(i) }));
  const r = await ward.responses.create({ model: 'demo-text', input, max_output_tokens: 4, store: true });
  assert.equal((await ward.responses.retrieve(r.id)).output_text, r.output_text);
  const items = await all(ward.responses.inputItems.list(r.id, { limit: 2, order: 'asc' }));
  assert.deepEqual(items.map((x) => x.content[0].text), ['1', '2', '3']);
  await ward.responses.delete(r.id);
  await refused(ward.responses.inputItems.list(r.id), OpenAI.NotFoundError, { status: 404 });
});

test('responses parse into what was asked for', async () => {
  const ask = { model: 'demo-text', input: 'A nodule?', text: { format: zodTextFormat(Finding, 'finding') }, temperature: 1, max_output_tokens: 200 };
  const r = await ward.responses.parse(ask);
  assert.deepEqual(Finding.parse(r.output_parsed), r.output_parsed);
  const s = await ward.responses.stream(ask).finalResponse();
  assert.deepEqual(Finding.parse(s.output_parsed), s.output_parsed);
});

test('a run loop of responses', async () => {
  const client = at(given.responses);
  const tools = [zodResponsesFunction({ name: 'labs', parameters: Found })];
  const input = [...hello];
  let r;
  for (let turn = 0; turn < 4; turn++) {
    r = await client.responses.parse({ model: 'scripted', input, tools });
    const calls = r.output.filter((x) => x.type === 'function_call');
    if (!calls.length) break;
    assert.equal(r.output[0].content[0].text, 'Let me look.');
    input.push(...r.output.map(({ parsed_arguments, ...item }) => item));
    for (const c of calls) {
      assert.deepEqual(JSON.parse(c.arguments), high); // parsed_arguments is the call itself in this version
      input.push({ type: 'function_call_output', call_id: c.call_id, output: '12 mg/l' });
    }
  }
  assert.equal(r.output_text, 'It was 12.');
});

test('embeddings are those of the command line', async () => {
  const near = (got) => {
    assert.equal(got.length, given.vector.length);
    got.forEach((x, i) => assert(Math.abs(x - given.vector[i]) < 1e-7, `${x} ${given.vector[i]}`));
  };
  const packed = await ward.embeddings.create({ model: 'demo-text', input: ['a nodule', 'no fracture'] }); // base64 inside
  assert.equal(packed.data.length, 2);
  near(packed.data[0].embedding);
  near((await ward.embeddings.create({ model: 'demo-text', input: 'a nodule', encoding_format: 'float' })).data[0].embedding);
  assert.equal((await ward.embeddings.create({ model: 'demo-text', input: 'a nodule', dimensions: 16 })).data[0].embedding.length, 16);
});

test('completions, models and errors', async () => {
  const r = await ward.completions.create({ model: 'demo-text', prompt: ['A', 'B'], temperature: 0, max_tokens: 4 });
  assert.deepEqual(r.choices.map((c) => c.index), [0, 1]);
  assert.deepEqual((await all(ward.models.list())).map((m) => m.id), ['demo-text']);
  await refused(ward.chat.completions.create({ ...plain, presence_penalty: 9 }), OpenAI.BadRequestError, { param: 'presence_penalty', status: 400 });
  await refused(ward.chat.completions.create({ ...plain, model: 'gpt-4o' }), OpenAI.NotFoundError, { code: 'model_not_found' });
  await refused(ward.chat.completions.create({ ...plain, messages: [{ role: 'user', content: 'x '.repeat(20000) }] }), OpenAI.BadRequestError,
    { code: 'context_length_exceeded' });
});

test('files are kept and deleted', async () => {
  const film = Buffer.from(given.png, 'base64');
  const kept = await ward.files.create({ file: await toFile(film, 'film.png'), purpose: 'vision', expires_after: { anchor: 'created_at', seconds: 3600 } });
  assert.deepEqual([kept.filename, kept.bytes, kept.expires_at - kept.created_at], ['film.png', film.length, 3600]);
  assert.deepEqual((await all(ward.files.list())).map((f) => f.id), [kept.id]);
  assert(film.equals(Buffer.from(await (await ward.files.content(kept.id)).arrayBuffer())));
  assert((await ward.files.delete(kept.id)).deleted);
  await refused(ward.files.retrieve(kept.id), OpenAI.NotFoundError, { status: 404 });
});
