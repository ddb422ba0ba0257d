//! Maps that are not kept at every pixel: the same scores and pictures from fewer bytes.

use evaluate::evaluate::CURVES_DIR;
use evaluate::table::{CURVES, CurveRows, SCORES, ScoreRows};
use features::artifact::Reader;

use crate::bench::{Bench, complete};

const MASKS: &str = "lime = { samples = 12, segments = 6, segmentation = \"quickshift\" }\n\
                     kernel_shap = { samples = 16, segments = 6, segmentation = \"slic\" }\n";

/// The tiny experiment with maps of every kind of storage, some of them perturbed.
fn experiment(bench: &Bench, storage: &str) -> String {
    let text = std::fs::read_to_string(complete().path("tiny.toml")).expect("the experiment can be read");
    let more = "\"grad_cam:reference\", \"lime\", \"kernel_shap\", \"guided_backprop\"]";
    let text = text.replace("\"guided_backprop\"]", more);
    let text = text.replace("[attribute]\n", &format!("[attribute]\n{MASKS}{storage}"));
    let text = text.replace("methods = [\"lrp\"]", "methods = [\"lrp\", \"grad_cam\", \"lime\"]");
    std::fs::write(bench.path("tiny.toml"), &text).expect("the experiment can be written");
    text
}

/// Scores, curves, and the pictures of the report.
fn found(bench: &Bench) -> (ScoreRows, CurveRows, Vec<String>) {
    let read = |dir: &str, table| Reader::open(&bench.path("out/tiny").join(dir), table).expect("a table").read_all();
    let scores = ScoreRows::from_cells(read("evaluate", &SCORES).expect("rows")).expect("columns");
    let curves = CurveRows::from_cells(read(CURVES_DIR, &CURVES).expect("rows")).expect("columns");
    let page = std::fs::read_to_string(bench.path("out/report/report.html")).expect("a page");
    let pictures = page.split("data:image/png;base64,").skip(1).map(|rest| {
        let end = rest.find('"').expect("an address ends");
        rest[..end].to_string()
    });
    (scores, curves, pictures.collect())
}

fn bytes(bench: &Bench) -> u64 {
    let tables = ["attribute", "attribute.grid2", "attribute.scenes", "attribute.tiles"];
    let mut more = vec![];
    for table in ["attribute.compact", "attribute.segments"] {
        if bench.path(&format!("out/tiny/{table}")).is_dir() {
            more.push(table);
        }
    }
    let parts = tables.iter().chain(&more).flat_map(|table| bench.parts(&format!("out/tiny/{table}")));
    parts.map(|part| std::fs::metadata(part).expect("a part").len()).sum()
}

#[test]
fn less_is_kept_and_scores_and_pictures_are_the_same() {
    let bench = complete().copy();
    let run = |storage: &str| {
        experiment(&bench, storage);
        for stage in ["attribute", "evaluate"] {
            bench.ok(&[stage, "--config", "tiny.toml"]);
        }
        bench.ok(&["report", "--config", "report.toml"]);
        (found(&bench), bytes(&bench))
    };
    let (full, all) = run("");
    assert!(!full.2.is_empty(), "the report shows maps");
    let (compact, less) = run("storage = { class_activation = \"compact\", segments = \"compact\" }\n");
    assert!(full.0 == compact.0, "scores differ");
    assert!(full.1 == compact.1, "curves differ");
    assert_eq!(full.2, compact.2, "pictures differ");
    // Four of nine methods.
    assert!(less * 5 < all * 4, "{less} of {all} bytes");
}

#[test]
fn a_digest_gives_what_it_can_and_says_what_it_cannot() {
    let bench = complete().copy();
    let all = "storage = { class_activation = \"digest\", segments = \"digest\", pixels = \"digest\" }\n";
    let text = experiment(&bench, all);
    bench.ok(&["attribute", "--config", "tiny.toml"]);
    let told = ["which was kept as a digest", "grid_pointing_game:none", "[attribute.storage]"];
    bench.fails(&["evaluate", "--config", "tiny.toml"], 2, &told);
    let start = text.find("[evaluate]").expect("a section");
    let fewer = "[evaluate]\nimages = \"out/shapes/images\"\nmetrics = [\"grid_pointing_game:none\"]\n";
    std::fs::write(bench.path("tiny.toml"), format!("{}{fewer}", &text[..start])).expect("it can be written");
    bench.ok(&["evaluate", "--config", "tiny.toml"]);
    bench.ok(&["report", "--config", "report.toml"]);
    // Those of the whole maps, from the run that all tests share.
    let (whole, digest) = (complete().scores(), bench.scores());
    let mut same = 0;
    for row in (0..whole.len()).filter(|&row| whole.metric[row] == "grid_pointing_game" && whole.variant[row] == "none")
    {
        let key = |rows: &ScoreRows, row: usize| {
            (rows.item[row].clone(), rows.target_index[row], rows.probe_id[row].clone(), rows.method[row].clone())
        };
        let twin = (0..digest.len()).find(|&other| key(&digest, other) == key(&whole, row)).expect("the same maps");
        match (whole.value[row], digest.value[twin]) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-6, "{a} {b}"),
            (a, b) => assert_eq!((a, &whole.reason[row]), (b, &digest.reason[twin])),
        }
        same += 1;
    }
    assert!(same > 50, "{same} scores");
}
