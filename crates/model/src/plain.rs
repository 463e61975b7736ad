//! What a parser says of a wrong value, in this program's words.
//!
//! Owns the translation. What it does not know it leaves as it is; refuses to judge values itself.

/// A refusal by `serde` or `toml`, so that it says what was given and what may be.
pub fn plain(error: &str) -> String {
    let wrong = error.strip_prefix("invalid type: ").or_else(|| error.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{} is not allowed: write {}", given(found), wanted(expected));
    }
    let variant = error.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "));
    match variant {
        Some((found, expected)) => {
            format!("{found} is not allowed: write {}", expected.replace("one of", "one of these:"))
        }
        None => error.to_owned(),
    }
}

/// What was given, without the name of its type, which stands before its text.
fn given(found: &str) -> String {
    let text = |quote: char| {
        let (start, end) = (found.find(quote)?, found.rfind(quote)?);
        (start < end).then(|| format!("`{}`", &found[start + 1..end]))
    };
    match found {
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        _ => text('"').or_else(|| text('`')).unwrap_or_else(|| found.to_owned()),
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "a nonzero u32" => "a whole number from 1 on",
        "i64" | "i32" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_and_what_may_be_is_said() {
        for (error, told) in [
            (
                r#"invalid type: string "banana", expected u64"#,
                "`banana` is not allowed: write a whole number from 0 on",
            ),
            (
                "invalid value: integer `0`, expected a nonzero u32",
                "`0` is not allowed: write a whole number from 1 on",
            ),
            ("invalid type: integer `3`, expected a boolean", "`3` is not allowed: write `true` or `false`"),
            ("invalid type: map, expected a string", "an object is not allowed: write text"),
            ("unknown variant `x`, expected `a` or `b`", "`x` is not allowed: write `a` or `b`"),
            ("unknown variant `x`, expected one of `a`, `b`", "`x` is not allowed: write one of these: `a`, `b`"),
            ("something else", "something else"),
        ] {
            assert_eq!(plain(error), told);
        }
    }
}
