// Tells wfr of the tool calls of opencode, and has its shell commands traced. `wfr attach opencode` wrote it, and writes it again.
import { spawnSync } from "node:child_process"
import { accessSync, constants } from "node:fs"

const WFR = @WFR@
const BASH_ENV = @BASH_ENV@

// Sessions of sub-agents: each has the one that started it.
const parents = new Map()
const kinds = new Map()

function isThere() {
  try {
    accessSync(WFR, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function rootOf(session) {
  while (parents.has(session)) session = parents.get(session)
  return session
}

// Whatever goes wrong here is no affair of opencode's.
function say(event, sessionID, cwd, more) {
  if (!sessionID || !isThere()) return {}
  const root = rootOf(sessionID)
  const agent = root === sessionID ? {} : { agent_id: sessionID, agent_type: kinds.get(sessionID) }
  const payload = { hook_event_name: event, session_id: root, cwd, ...agent, ...more }
  try {
    const run = spawnSync(WFR, ["hook", "opencode"], { input: JSON.stringify(payload), cwd, timeout: 20000 })
    return JSON.parse(String(run.stdout || "{}") || "{}")
  } catch {
    return {}
  }
}

export const Wfr = async ({ directory }) => ({
  event: async ({ event }) => {
    const { info, sessionID } = event.properties || {}
    if (event.type === "session.created" && info) {
      if (info.parentID) {
        parents.set(info.id, info.parentID)
        kinds.set(info.id, info.agent)
      }
      say(info.parentID ? "agent.created" : "session.created", info.id, directory, {})
    }
    if (event.type === "session.idle") say(parents.has(sessionID) ? "agent.idle" : "session.idle", sessionID, directory, {})
  },
  "tool.execute.before": async ({ tool, sessionID, callID }, { args }) => {
    const call = { tool_name: tool, tool_use_id: callID, tool_input: args }
    const { deny } = say("tool.execute.before", sessionID, directory, call)
    if (deny) throw new Error(deny)
  },
  "tool.execute.after": async ({ tool, sessionID, callID, args }, { metadata, output }) => {
    const call = { tool_name: tool, tool_use_id: callID, tool_input: args }
    say("tool.execute.after", sessionID, directory, { ...call, output, started: tool === "task" ? metadata?.sessionId : undefined })
  },
  "shell.env": async ({ sessionID, callID }, { env }) => {
    if (!sessionID || !callID || !isThere()) return
    env.WFR_OPENCODE_SESSION = rootOf(sessionID)
    env.WFR_OPENCODE_AGENT = sessionID
    env.WFR_OPENCODE_CALL = callID
    env.BASH_ENV = BASH_ENV
  },
})
