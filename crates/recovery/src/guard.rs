//! Which files are executed or obeyed by tools, so that bringing them back needs an explicit yes.
//!
//! Owns the list, and that of texts which agents read as instructions, such as `CLAUDE.md` or `AGENTS.md`: these are work like any
//! other, and people edit them every day, so they are named where they change, and need no yes of their own. Refuses to look
//! into files.

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
    ".pre-commit-config.yaml",
    ".gitattributes",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "lefthook.yml",
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
    ".githooks",
    ".github/workflows",
    ".github/actions",
];

/// Texts, by the end of their path, that agents take for instructions.
const INSTRUCTIONS: &[&str] = &[
    "AGENTS.md",
    "AGENTS.override.md",
    "CLAUDE.md",
    "CLAUDE.local.md",
    "GEMINI.md",
    ".cursorrules",
    ".windsurfrules",
    ".github/copilot-instructions.md",
];

/// Directories of such texts.
const RULES: &[&str] = &[".claude/rules", ".cursor/rules"];

/// Files of which every variant counts: `.claude/settings.json`, `.claude/settings.local.json`, ...
const VARIANTS: (&[u8], &[u8]) = (b".claude/settings", b".json");

/// Whether a tool would run or obey this path; at any depth.
pub(crate) fn is_configuration(path: &TreePath) -> bool {
    let bytes = path.as_bytes();
    ends_with_one(bytes, FILES) || is_variant(bytes) || is_below_one(bytes, DIRECTORIES)
}

/// Whether agents take the text at this path for instructions; at any depth.
pub fn is_instruction(path: &TreePath) -> bool {
    ends_with_one(path.as_bytes(), INSTRUCTIONS) || is_below_one(path.as_bytes(), RULES)
}

fn ends_with_one(path: &[u8], files: &[&str]) -> bool {
    let ends = |file: &&str| {
        path.strip_suffix(file.as_bytes()).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    files.iter().any(ends)
}

fn is_variant(path: &[u8]) -> bool {
    let from = path.iter().rposition(|byte| *byte == b'/').and_then(|at| path[..at].iter().rposition(|b| *b == b'/'));
    let tail = from.map_or(path, |at| &path[at + 1..]);
    tail.starts_with(VARIANTS.0) && tail.ends_with(VARIANTS.1)
}

/// Whether a path leads through one of the directories. Each byte is looked at once: a path may have thousands of names.
fn is_below_one(path: &[u8], directories: &[&str]) -> bool {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
    std::iter::once(0).chain(slashes).map(|at| &path[at..]).filter(|rest| rest.starts_with(b".")).any(|rest| {
        let leads = |dir: &&str| rest.strip_prefix(dir.as_bytes()).is_some_and(|below| below.starts_with(b"/"));
        directories.iter().any(leads)
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
        assert!(is(".pre-commit-config.yaml") && is("sub/.gitattributes") && is(".github/workflows/ci.yml"));
        assert!(!is(".github/CODEOWNERS") && !is("github/workflows/ci.yml") && !is("CLAUDE.md"));
        assert!(!is("src/mcp.json") && !is("x.mcp.json") && !is(".claude/hooks") && !is("a.claude/hooks/x"));
    }
    #[test]
    fn instructions_are_known_at_any_depth() {
        let is = |text: &str| is_instruction(&text.parse().unwrap());
        assert!(
            is("CLAUDE.md") && is("a/AGENTS.md") && is(".cursor/rules/x.mdc") && is(".github/copilot-instructions.md")
        );
        assert!(!is("docs/ABOUT_AGENTS.md") && !is("claude.md/x") && !is(".claude/settings.json"));
    }
}
