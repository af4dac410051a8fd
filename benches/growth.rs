//! `cargo bench --bench growth`: a workspace of a thousand to a million quanta on tmpfs,
//! built, run and committed: time and memory of each phase, which are to grow with the
//! work and not faster. `cargo bench --bench growth -- docs/img/growth.svg` draws it.
//!
//! Four in-process quanta with one small output for each visit, and one that reads those
//! four. Each size is a process of its own, so that its memory can be told from that of
//! others.
#![allow(clippy::print_stdout, reason = "a bench shows what it measured")]

mod bare;
mod frames;
mod measure;
mod survey;

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use camino::Utf8Path;
use pantler::exec::{QuantumContext, TaskError, TaskRegistry};

use crate::{
    frames::Frames,
    measure::{Fault, expect, places},
};

const VISITS: [i64; 4] = [200, 2_000, 20_000, 200_000];
const PHASES: [&str; 3] = ["build", "run", "commit"];
/// Work may cost this much more for each quantum at the largest size than at 10⁴: caches
/// and trees are what is left.
const GROWTH: f64 = 2.0;

const PIPELINE: &str = "
version: 1
tasks:
  expose:
    dimensions: [visit, detector]
    inputs: {}
    outputs: {frame: {type: frame, storage_class: Text}}
    task: expose
  join:
    dimensions: [visit]
    inputs: {frames: {type: frame, multiple: true}}
    outputs: {visit_frame: {type: visit_frame, storage_class: Text}}
    task: join
";

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["one", visits, folder] => one(visits.parse()?, Utf8Path::new(folder)),
        [] => every_size(None),
        [picture] => every_size(Some(Utf8Path::new(picture))),
        _ => Err("give nothing, or a file for the picture".into()),
    }
}

/// Seconds and bytes of a phase.
type Cost = (f64, f64);

fn every_size(picture: Option<&Utf8Path>) -> Result<(), Fault> {
    let place = places().into_iter().next().ok_or("there is a place to measure")?;
    println!("| quanta | build | run | commit | memory at most: build | run | commit |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut all: Vec<(f64, Vec<Cost>)> = Vec::new();
    for visits in VISITS {
        let folder = tempfile::tempdir_in(&place.root)?;
        let folder = Utf8Path::from_path(folder.path()).ok_or("a path is UTF-8")?;
        let child = Command::new(std::env::current_exe()?)
            .args(["one", &visits.to_string(), folder.as_str()])
            .stderr(Stdio::inherit())
            .output()?;
        expect("exit", &child.status.success(), &true)?;
        let text = String::from_utf8(child.stdout)?;
        let costs: Vec<Cost> = text.lines().map(cost).collect::<Result<_, Fault>>()?;
        expect("phases", &costs.len(), &PHASES.len())?;
        let quanta = visits * (survey::DETECTORS + 1);
        let times: Vec<_> = costs.iter().map(|(s, _)| format!("{s:.2} s")).collect();
        let memory: Vec<_> = costs.iter().map(|(_, b)| format!("{:.0} MB", b / 1e6)).collect();
        println!("| {quanta} | {} | {} |", times.join(" | "), memory.join(" | "));
        #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
        all.push((quanta as f64, costs));
    }
    for (p, phase) in PHASES.iter().enumerate() {
        let each = |at: usize| all[at].1[p].0 / all[at].0;
        let (small, large) = (each(1), each(3));
        let verdict = if large <= GROWTH * small { "grows with the work" } else { "GROWS FASTER" };
        println!(
            "{phase}: {:.2} µs a quantum at 10⁴, {:.2} µs at 10⁶: {verdict}",
            small * 1e6,
            large * 1e6
        );
    }
    if let Some(picture) = picture {
        pantler::datastore::fs::replace(picture, svg(&all).as_bytes())?;
    }
    Ok(())
}

fn cost(line: &str) -> Result<Cost, Fault> {
    let (seconds, bytes) = line.split_once(' ').ok_or("two numbers")?;
    Ok((seconds.parse()?, bytes.parse()?))
}

fn one(visits: i64, folder: &Utf8Path) -> Result<(), Fault> {
    let quanta = usize::try_from(visits * (survey::DETECTORS + 1))?;
    let butler = survey::repository(&folder.join("repo"), visits)?;
    let frames = Frames::open(&butler, folder, PIPELINE)?;
    let graph = phase(|| frames.build())?;
    expect("quanta", &graph.len(), &quanta)?;
    let mut tasks = TaskRegistry::new();
    tasks.register_fn("expose", expose);
    tasks.register_fn("join", join);
    let jobs = std::thread::available_parallelism().ok();
    let succeeded = phase(|| frames.run(&graph, &tasks, jobs))?;
    expect("succeeded", &succeeded, &quanta)?;
    drop(graph);
    phase(|| frames.commit())?;
    // Their provenance too.
    let report = survey::check_clean(&butler)?;
    expect("stored", &report.counts.stored, &(quanta + 1))
}

/// Prints the time and the most memory of some work.
fn phase<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // From now on the peak counts anew.
    #[expect(clippy::disallowed_methods, reason = "not a file: the kernel takes a command")]
    std::fs::write("/proc/self/clear_refs", "5")?;
    let begin = Instant::now();
    let value = work()?;
    let seconds = begin.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("there is no VmHWM")?;
    println!("{seconds} {}", text.trim().parse::<u64>()? * 1024);
    Ok(value)
}

fn expose(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let content = format!("{}\n", quantum.data_id());
    quantum.write("frame", content.as_bytes())?;
    Ok(())
}

fn join(quantum: &mut QuantumContext<'_>) -> Result<(), TaskError> {
    let frames = quantum.read_all("frames")?;
    let content: Vec<u8> = frames.into_iter().flat_map(|(_, content)| content).collect();
    quantum.write("visit_frame", &content)?;
    Ok(())
}

/// Title, labels of the axis from below, what is drawn, and what the lowest label stands for.
type Panel = (&'static str, [&'static str; 6], fn(&Cost) -> f64, f64);

/// Two panels, seconds and bytes, both axes logarithmic: what grows with the work is a
/// straight line with the slope of the grey ones.
fn svg(all: &[(f64, Vec<Cost>)]) -> String {
    const COLOURS: [&str; 3] = ["#1b6ca8", "#c0392b", "#2e8b57"];
    let panels: [Panel; 2] = [
        ("seconds", ["1 ms", "10 ms", "0.1 s", "1 s", "10 s", "100 s"], |c| c.0, 1e-3),
        ("memory at most", ["1 MB", "10 MB", "100 MB", "1 GB", "10 GB", "100 GB"], |c| c.1, 1e6),
    ];
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 330\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"800\" height=\"330\" fill=\"white\"/>\n",
    );
    for (panel, (title, labels, value, lowest)) in (0_u8..).zip(panels) {
        let left = 70.0 + f64::from(panel) * 380.0;
        let x = |quanta: f64| left + (quanta.log10() - 3.0) * 90.0;
        let y = |value: f64| 280.0 - (value / lowest).log10().max(0.0) * 48.0;
        let _ = writeln!(out, "<text x=\"{left}\" y=\"22\" font-weight=\"bold\">{title}</text>");
        for (power, label) in (0_i32..).zip(labels) {
            let at = y(lowest * 10_f64.powi(power));
            let _ = writeln!(
                out,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#eee\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                left + 270.0,
                left - 6.0,
                at + 4.0
            );
        }
        for (power, label) in (3_i32..).zip(["10³", "10⁴", "10⁵", "10⁶"]) {
            let at = x(10_f64.powi(power));
            let _ =
                writeln!(out, "<text x=\"{at}\" y=\"300\" text-anchor=\"middle\">{label}</text>");
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"318\" text-anchor=\"middle\">quanta</text><line x1=\"{left}\" y1=\"232\" x2=\"{}\" y2=\"88\" stroke=\"#bbb\" stroke-dasharray=\"4 4\"/>",
            left + 135.0,
            left + 270.0
        );
        for (p, (phase, colour)) in PHASES.iter().zip(COLOURS).enumerate() {
            let points: Vec<String> = all
                .iter()
                .map(|(quanta, costs)| format!("{:.1},{:.1}", x(*quanta), y(value(&costs[p]))))
                .collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                points.join(" ")
            );
            if let Some((quanta, costs)) = all.last() {
                let (at, height) = (x(*quanta) + 5.0, y(value(&costs[p])) + 4.0);
                let _ = writeln!(
                    out,
                    "<text x=\"{at}\" y=\"{height:.1}\" fill=\"{colour}\">{phase}</text>"
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}
