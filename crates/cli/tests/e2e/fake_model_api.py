#!/usr/bin/env python3
"""A model that does as it is told: plays scripted tool calls to agent clients over loopback.

    fake_model_api.py STEPS.json

It takes a free port and prints it as its first line. It speaks Anthropic Messages, OpenAI Chat and Responses, and Gemini, with
streams and without. STEPS.json is one object:

    {"main": [STEP, ...], "sub": [STEP, ...], "sub:WORD": [STEP, ...]}

A STEP is one message of the model: [TOOL, ARGUMENTS], or {"multi": [[TOOL, ARGUMENTS], ...]} for several calls in one message. A
conversation whose first words of a user have "SUB WORD" in them is a sub-agent's: it plays "sub:WORD", or else "sub". Others play
"main". How many messages with calls a conversation already has says which step is next; behind the last one the model says that it
is done. Ids of calls are unique within a server.

A TOOL of the Responses dialect may be "custom:NAME" (its ARGUMENTS are text) or "NAMESPACE|NAME".
"""
import itertools
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DONE = "All done."
STEPS = {}
NUMBERS = itertools.count()
USAGE = {"input_tokens": 10, "output_tokens": 5}


def script_of(text):
    """The name of the script of a conversation that begins with a text."""
    found = re.search(r"SUB (\w+)", text)
    if not found:
        return "main"
    own = "sub:" + found.group(1)
    return own if own in STEPS else "sub"


def calls_of(script, done, request):
    """The calls of the next message. Requests without tools are no conversation: titles, summaries."""
    steps = STEPS.get(script, [])
    if not request.get("tools") or done >= len(steps):
        return []
    step = steps[done]
    return step["multi"] if isinstance(step, dict) else [step]


def anthropic(request):
    messages = request.get("messages", [])
    has_call = lambda m: m["role"] == "assistant" and isinstance(m["content"], list) and any(
        part.get("type") == "tool_use" for part in m["content"])
    calls = calls_of(script_of(json.dumps(messages[:1])), sum(map(has_call, messages)), request)
    number = next(NUMBERS)
    blocks = [({"type": "tool_use", "id": f"toolu_{number:03d}{index}", "name": tool}, arguments)
              for index, (tool, arguments) in enumerate(calls)]
    reason = "tool_use" if calls else "end_turn"
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": request.get("model"),
               "stop_sequence": None,
               "usage": dict(USAGE, cache_creation_input_tokens=0, cache_read_input_tokens=0)}
    if not request.get("stream"):
        content = [dict(block, input=arguments) for block, arguments in blocks] or [{"type": "text", "text": DONE}]
        return dict(message, content=content, stop_reason=reason)
    events = [{"type": "message_start", "message": dict(message, content=[], stop_reason=None)}]
    parts = [(dict(block, input={}), {"type": "input_json_delta", "partial_json": json.dumps(arguments)})
             for block, arguments in blocks]
    parts = parts or [({"type": "text", "text": ""}, {"type": "text_delta", "text": DONE})]
    for index, (block, delta) in enumerate(parts):
        events += [{"type": "content_block_start", "index": index, "content_block": block},
                   {"type": "content_block_delta", "index": index, "delta": delta},
                   {"type": "content_block_stop", "index": index}]
    events += [{"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
    return [(event["type"], event) for event in events]


def chat(request):
    messages = request["messages"]
    done = sum(1 for message in messages if message["role"] == "assistant" and message.get("tool_calls"))
    first = [message for message in messages if message["role"] == "user"][:1]
    calls = calls_of(script_of(json.dumps(first)), done, request)
    number = next(NUMBERS)
    said = {"role": "assistant", "content": DONE}
    if calls:
        said = {"role": "assistant", "tool_calls": [
            {"index": index, "id": f"call_{number}_{index}", "type": "function",
             "function": {"name": tool, "arguments": json.dumps(arguments)}}
            for index, (tool, arguments) in enumerate(calls)]}
    reason = "tool_calls" if calls else "stop"
    head = {"id": f"chat_{number}", "created": 1, "model": request.get("model")}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    if not request.get("stream"):
        choice = {"index": 0, "message": said, "finish_reason": reason}
        return dict(head, object="chat.completion", choices=[choice], usage=usage)
    head["object"] = "chat.completion.chunk"
    choice = lambda delta, reason: [{"index": 0, "delta": delta, "finish_reason": reason}]
    return [(None, dict(head, choices=choice(said, None))),
            (None, dict(head, choices=choice({}, reason), usage=usage)), (None, "[DONE]")]


def responses(request):
    items = request.get("input", [])
    is_call = [item.get("type") in ("function_call", "custom_tool_call") for item in items]
    # Calls of one message stand behind each other.
    done = sum(1 for index, call in enumerate(is_call) if call and not (index and is_call[index - 1]))
    # The first words of a user are the client's own.
    scripts = [script_of(json.dumps(item)) for item in items if item.get("role") == "user"]
    script = next((script for script in reversed(scripts) if script != "main"), "main")
    number = next(NUMBERS)
    said = []
    for index, (tool, arguments) in enumerate(calls_of(script, done, request)):
        head = {"call_id": f"call_{number}_{index}", "id": f"item_{number}_{index}", "status": "completed"}
        namespace, _, name = tool.rpartition("|")
        if tool.startswith("custom:"):
            said.append(dict(head, type="custom_tool_call", name=tool[len("custom:"):], input=arguments))
        else:
            more = {"namespace": namespace} if namespace else {}
            said.append(dict(head, type="function_call", name=name, arguments=json.dumps(arguments), **more))
    said = said or [{"type": "message", "id": f"item_{number}", "role": "assistant", "status": "completed",
                     "content": [{"type": "output_text", "text": DONE, "annotations": []}]}]
    answer = {"id": f"resp_{number}"}
    events = [{"type": "response.created", "response": answer}]
    for index, item in enumerate(said):
        events += [{"type": f"response.output_item.{step}", "output_index": index, "item": item}
                   for step in ("added", "done")]
    usage = dict(USAGE, input_tokens_details=None, output_tokens_details=None, total_tokens=15)
    events.append({"type": "response.completed", "response": dict(answer, usage=usage)})
    return [(event["type"], event) for event in events]


def gemini(request, path):
    contents = request.get("contents", [])
    done = sum(1 for content in contents if any("functionResponse" in part for part in content.get("parts", [])))
    first = [content for content in contents if content.get("role") == "user"][:2]
    calls = calls_of(script_of(json.dumps(first)), done, request)
    parts = [{"functionCall": {"name": tool, "args": arguments}} for tool, arguments in calls] or [{"text": DONE}]
    if (request.get("generationConfig") or {}).get("responseMimeType") == "application/json":
        # The client asks who speaks next, and which model is to answer.
        parts = [{"text": json.dumps({"reasoning": "x", "next_speaker": "user", "complexity_reasoning": "x",
                                      "complexity_score": 1, "model_choice": "pro"})}]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
              "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}}
    return [(None, answer)] if "stream" in path else answer


def answer(path, request):
    """A document, or the events of a stream: pairs of a name and a document."""
    if path.endswith("/count_tokens"):
        return {"input_tokens": 10}
    if path.endswith("/messages"):
        return anthropic(request)
    if path.endswith("/responses"):
        return responses(request)
    if path.endswith("/chat/completions"):
        return chat(request)
    if "enerateContent" in path:
        return gemini(request, path)
    return {"totalTokens": 10} if "countTokens" in path else {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send({"data": [], "models": [], "object": "list"})

    do_HEAD = do_GET

    def do_POST(self):
        try:
            request = json.loads(self.body() or b"{}")
        except ValueError:
            request = {}
        self.send(answer(self.path.split("?")[0], request))

    def body(self):
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while length := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        return body

    def send(self, said):
        kind = "text/event-stream" if isinstance(said, list) else "application/json"
        if isinstance(said, list):
            line = lambda name, data: (f"event: {name}\n" if name else "") + "data: " + (
                data if isinstance(data, str) else json.dumps(data)) + "\n\n"
            said = "".join(line(*event) for event in said)
        else:
            said = json.dumps(said)
        said = said.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        STEPS.update(json.load(file))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
