//! Which files are executed or obeyed by tools, so that bringing them back needs an explicit yes.
//!
//! Owns the list. Refuses to look into files. Texts that agents only read, such as `CLAUDE.md` or `AGENTS.md`, are not in
//! it: they are work like any other, and people edit them every day.

use wfr_model::TreePath;

/// Files, by the end of their path, that agent clients or editors run or obey when they appear.
const FILES: &[&str] = &[
    ".mcp.json",
    ".cursor/hooks.json",
    ".cursor/mcp.json",
    ".codex/config.toml",
    ".codex/hooks.json",
    ".gemini/settings.json",
    ".vscode/tasks.json",
    ".vscode/settings.json",
    ".envrc",
    "opencode.json",
];

/// Directories everything below which is run or obeyed.
const DIRECTORIES: &[&str] = &[
    ".claude/hooks",
    ".claude/commands",
    ".claude/agents",
    ".claude/skills",
    ".opencode/plugins",
    ".opencode/plugin",
    ".opencode/command",
    ".cursor/commands",
    ".gemini/commands",
    ".git/hooks",
    ".husky",
];

/// Files of which every variant counts: `.claude/settings.json`, `.claude/settings.local.json`, ...
const VARIANTS: (&[u8], &[u8]) = (b".claude/settings", b".json");

/// Whether a tool would run or obey this path; at any depth.
pub(crate) fn is_configuration(path: &TreePath) -> bool {
    let bytes = path.as_bytes();
    let ends = |file: &&str| {
        bytes.strip_suffix(file.as_bytes()).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    FILES.iter().any(ends) || is_variant(bytes) || is_below_one(bytes)
}

fn is_variant(path: &[u8]) -> bool {
    let from = path.iter().rposition(|byte| *byte == b'/').and_then(|at| path[..at].iter().rposition(|b| *b == b'/'));
    let tail = from.map_or(path, |at| &path[at + 1..]);
    tail.starts_with(VARIANTS.0) && tail.ends_with(VARIANTS.1)
}

/// Whether a path leads through one of the directories. Each byte is looked at once: a path may have thousands of names.
fn is_below_one(path: &[u8]) -> bool {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
    std::iter::once(0).chain(slashes).map(|at| &path[at..]).filter(|rest| rest.starts_with(b".")).any(|rest| {
        let leads = |dir: &&str| rest.strip_prefix(dir.as_bytes()).is_some_and(|below| below.starts_with(b"/"));
        DIRECTORIES.iter().any(leads)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_known_at_any_depth() {
        let is = |text: &str| is_configuration(&text.parse().unwrap());
        assert!(is(".claude/settings.json") && is("a/b/.claude/settings.local.json") && is(".claude/commands/x.md"));
        assert!(!is("settings.json") && !is(".claude/settings") && !is(".claude/x/settings.json"));
        assert!(is(".mcp.json") && is("sub/.claude/settings.json") && is(".claude/hooks/pre.sh"));
        assert!(is("a/.git/hooks/pre-commit") && is("sub/.husky/x"));
        assert!(!is("src/mcp.json") && !is("x.mcp.json") && !is(".claude/hooks") && !is("a.claude/hooks/x"));
    }
}
