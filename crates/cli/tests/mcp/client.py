"""Lists and calls every tool of `wfr mcp` with the official client, in both eras, and with the inspector.

Owns the arguments of the calls. Refuses to know what results mean: they validate against the schemas of their tools.
Usage: client.py WFR WORKSPACE [INSPECTOR]
"""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
from mcp import Client, StdioServerParameters

ARCHIVE = "backup.wfrarchive"
WF = {"workflow_id": "wf"}
# What each tool is called with; the others are called with the workflow alone, or with nothing.
ARGUMENTS = {
    "create-checkpoint": WF,
    "show": {"checkpoint": "base"},
    "cat": {"checkpoint": "base", "path": "a.txt"},
    "diff": {"from": "base"},
    "validate-checkpoint": {"checkpoint": "base"},
    "restore": {**WF, "checkpoint": "base"},
    "emergency-restore": WF,
    "partial-restore": {**WF, "checkpoint": "base", "file": "a.txt"},
    "rollback": {**WF, "agent": "a1"},
    "change": {"action": "record", "workflow": "wf", "agent": "a1", "paths": ["a.txt"]},
    "blame": {"path": "a.txt"},
    "who": {"path": "a.txt"},
    "event": {"event": "TASK_STARTED:wf:1:{\"task_id\": \"t1\", \"agent_id\": \"a1\"}"},
    "initialize": {"workflow_id": "other"},
    "update-state": {**WF, "tasks": {"t1": {"status": "running"}}},
    "get-state": WF,
    "record-metrics": {**WF, "metrics": {"cpu_percent": 1.5}},
    "handle-error": {**WF, "error_id": "e1", "classification": {"scope": "workflow", "severity": "low", "category": "execution"},
                     "details": {"message": "it broke"}},
    "validate-state": WF,
    "repair-state": WF,
    "graph": WF,
    "backup-state": {**WF, "output": ARCHIVE},
    "import": {"path": ARCHIVE, "from": "archive"},
    "export": WF,
    "merge-states": {"primary_state": "current_workflow_state", "secondary_states": ["base"], **WF},
    "hold-resources": {**WF, "duration": "1s", "reason": "test"},
    "allocate": {**WF, "resources": {"cpu_cores": 1}},
    "recovery-status-update": {**WF, "recovery_id": "rec_1", "status": "completed"},
    "metadata": WF,
}
# What has nothing to act on here says so.
MAY_FAIL = {"undo", "release", "recovery-status-update", "rollback", "emergency-restore", "import"}


def check(tool, result):
    """A result that is what its tool promises."""
    assert result.structured_content is not None, (tool.name, result)
    jsonschema.Draft202012Validator(tool.output_schema).validate(result.structured_content)
    assert result.is_error == (result.structured_content["status"] == "error"), (tool.name, result)
    assert not result.is_error or tool.name in MAY_FAIL, (tool.name, result.structured_content)


async def session(wfr, workspace, mode, version):
    """One session: everything is listed, every tool is called."""
    Path(workspace, ARCHIVE).unlink(missing_ok=True)
    server = StdioServerParameters(command=wfr, args=["mcp"], cwd=workspace)
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == version, client.protocol_version
        tools = (await client.list_tools()).tools
        wrong = []
        for tool in tools:
            try:
                jsonschema.Draft202012Validator.check_schema(tool.input_schema)
                arguments = ARGUMENTS.get(tool.name, {})
                jsonschema.Draft202012Validator(tool.input_schema).validate(arguments)
                check(tool, await client.call_tool(tool.name, arguments))
            except Exception as error:  # All of them are told, not the first alone.
                wrong.append(f"{tool.name}: {str(error)[:600]}")
        assert not wrong, "\n".join(wrong)
        told = []

        async def on_progress(progress, total, message):
            told.append((progress, message))

        await client.call_tool("create-checkpoint", WF, progress_callback=on_progress)
        assert told, "nothing was told of the progress"
        resources = (await client.list_resources()).resources
        kinds = {str(resource.uri).split("/")[2] for resource in resources}
        assert kinds == {"checkpoint", "failure"}, kinds
        for kind in kinds:
            uri = next(str(one.uri) for one in resources if str(one.uri).split("/")[2] == kind)
            contents = (await client.read_resource(uri)).contents
            assert isinstance(json.loads(contents[0].text), dict)
        assert len((await client.list_resource_templates()).resource_templates) == 2
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["diagnose-failed-phase"]
        prompt = await client.get_prompt("diagnose-failed-phase", {"workflow_id": "wf", "phase": "1"})
        assert "phase `1`" in prompt.messages[0].content.text
        return [tool.name for tool in tools]


def inspect(inspector, wfr, workspace, names):
    """The same from the inspector: the list in strict mode, and every tool."""
    Path(workspace, ARCHIVE).unlink(missing_ok=True)

    def run(*words):
        words = [inspector, "--cli", wfr, "mcp", "--cwd", workspace, *words]
        return subprocess.run(words, capture_output=True, text=True, timeout=120)

    listed = run("--method", "tools/list", "--strict")
    assert listed.returncode == 0 and not listed.stderr.strip(), listed.stderr[:4000]
    assert [tool["name"] for tool in json.loads(listed.stdout)["tools"]] == names

    def call(name):
        pairs = [f"{key}={value if isinstance(value, str) else json.dumps(value)}"
                 for key, value in ARGUMENTS.get(name, {}).items()]
        return name, run("--method", "tools/call", "--tool-name", name, *(["--tool-arg", *pairs] if pairs else []))

    with ThreadPoolExecutor(4) as pool:
        for name, called in pool.map(call, names):
            answer = json.loads(called.stdout)
            assert answer["structuredContent"]["operation"] == name, (name, called)
            assert not answer.get("isError") or name in MAY_FAIL, (name, called.stdout)


def main():
    """Both eras, then the inspector where it is there."""
    wfr, workspace, *inspector = sys.argv[1:]
    names = asyncio.run(session(wfr, workspace, "legacy", "2025-11-25"))
    assert names == asyncio.run(session(wfr, workspace, "auto", "2026-07-28"))
    missing = set(ARGUMENTS) - set(names)
    assert not missing, missing
    if inspector:
        inspect(*inspector, wfr, workspace, names)
    print(f"{len(names)} tools")


main()
