//! Calls of a tool within one running server for agents.
//!
//! Owns the client: lines in, lines out. Refuses to count the server's start.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Instant;

use super::Options;
use super::site::Site;
use super::table::{Target, print_targets};

/// Checkpoints in the store.
const CHECKPOINTS: usize = 100;

/// Calls that are measured for each repetition.
const CALLS: usize = 200;

/// Runs it.
pub fn run(options: &Options) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let tree = options.work.join("mcp-tree");
    fs::create_dir_all(&tree).map_err(text)?;
    fs::write(tree.join("a.txt"), "a").map_err(text)?;
    let site = Site::new(&options.wfr, &tree, &options.work.join("wfr"))?;
    site.init()?;
    for number in 0..CHECKPOINTS {
        site.run(&["create-checkpoint", "wf", "--name", &format!("c{number}"), "--quiet"])?;
    }
    let mut command = site.command(&["mcp"]);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(text)?;
    let (mut input, output) = (server.stdin.take().ok_or("no input")?, server.stdout.take().ok_or("no output")?);
    let mut output = BufReader::new(output);
    let mut ask = |message: &str| -> Result<f64, String> {
        let mut answer = String::new();
        let began = Instant::now();
        input.write_all(message.as_bytes()).and_then(|()| output.read_line(&mut answer)).map_err(text)?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let is_error =
            answer.contains("\"isError\":true") || answer.contains("\"error\":{\"code\"") || answer.is_empty();
        if is_error { Err(format!("the server answered: {answer}")) } else { Ok(took) }
    };
    ask("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\
         \"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}\n")?;
    let call = |id: usize| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"list-checkpoints\",\
             \"arguments\":{{\"workflow_id\":\"wf\"}}}}}}\n"
        )
    };
    let mut took = (1..=CALLS * options.repeat).map(|id| ask(&call(id))).collect::<Result<Vec<f64>, String>>()?;
    took.sort_by(f64::total_cmp);
    drop(input);
    server.wait().map_err(text)?;
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    let target =
        |what, part| Target { what, measured: at(part), must: 5.0, aim: 5.0, rule: "fixed".to_owned(), unit: "ms" };
    print_targets(&[
        target("MCP list-checkpoints at 100 checkpoints, median", 0.5),
        target("MCP list-checkpoints at 100 checkpoints, p99", 0.99),
    ]);
    site.clear()
}
