//! The layers as docs/architecture.md has them, and what breaks them.

use super::graph::{Arrow, arrows, circles, room, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// The rooms of each layer, from the top down.
type Layers = Vec<Vec<String>>;

/// The table of docs/architecture.md: a row a layer, the names of its rooms in the first cell.
fn layers() -> Layers {
    let page = std::fs::read_to_string(Path::new(TOP).join("docs/architecture.md")).unwrap();
    let (_, table) = page.split_once("\n## The rooms\n").expect("a heading that says where the table is");
    let rows = table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let names = |row: &str| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).map(str::to_string).collect();
    rows.map(names).collect()
}

/// What is wrong, one line each: which arrow, and where it is drawn.
fn broken(layers: &Layers, arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let layer = |module: &str| layers.iter().position(|rooms| rooms.iter().any(|known| known == room(module)));
    let mut wrong: Vec<(&Arrow, &str)> = Vec::new();
    let mut down = Vec::new();
    for arrow in arrows {
        match (layer(&arrow.from), layer(&arrow.to)) {
            (Some(from), Some(to)) if from > to => wrong.push((arrow, "points upward")),
            (Some(_), Some(_)) => down.push(arrow),
            _ => wrong.push((arrow, "is of a room that is in no layer")),
        }
    }
    wrong.extend(circles(&down).into_iter().map(|arrow| (arrow, "is in a circle")));
    wrong.iter().map(|(arrow, how)| format!("{}: {} -> {} {how}", arrow.place, arrow.from, arrow.to)).collect()
}

fn picture(layers: &Layers, arrows: &BTreeSet<Arrow>) -> String {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let rooms = arrows.iter().map(|arrow| (room(&arrow.from), room(&arrow.to)));
    for (from, to) in rooms.filter(|(from, to)| from != to) {
        known.entry(from).or_default().insert(to);
    }
    let line = |room: &String| {
        let to: Vec<&str> = known.get(room.as_str())?.iter().copied().collect();
        Some(format!("  {room:<10} -> {}", to.join(" ")))
    };
    let layers = layers.iter().map(|rooms| rooms.iter().filter_map(line).collect::<Vec<_>>().join("\n"));
    layers.filter(|layer| !layer.is_empty()).collect::<Vec<_>>().join("\n  ──\n")
}

#[test]
fn every_arrow_points_down() {
    let (layers, arrows) = (layers(), arrows(&sources(Path::new(TOP))));
    println!("{}", picture(&layers, &arrows));
    // Fewer would say that the files were not read.
    assert!(arrows.len() > 500, "{} arrows", arrows.len());
    let broken = broken(&layers, &arrows);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_architecture_names_every_room_once() {
    let mut named: Vec<String> = layers().concat();
    named.sort();
    let files = sources(Path::new(TOP));
    let rooms = files.keys().map(|file| file["src/".len()..].split(['/', '.']).next().unwrap().to_string());
    assert_eq!(named, rooms.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}

/// The control.
#[test]
fn an_arrow_that_does_not_point_down_is_found() {
    let layers = layers();
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(file, text)| (format!("src/{file}.rs"), text.to_string())).collect();
        broken(&layers, &arrows(&files))
    };
    let house =
        |machine| [("boot", "use crate::machine::look;"), ("machine/mod", machine), ("machine/proxy", "fn a() {}")];
    assert_eq!(of(&house("use self::proxy;\n")), [""; 0]);
    let upward = house("\nuse crate::{machine::proxy, boot::{start}};");
    assert_eq!(of(&upward), ["src/machine/mod.rs:2: machine -> boot points upward"]);
    assert!(of(&[("boot", "crate::cellar::x()"), ("cellar", "")])[0].ends_with("is of a room that is in no layer"));
    let rooms =
        [("identity/mod", "use crate::machine::a;"), ("machine/a", "\n\nuse crate::identity;"), ("machine/mod", "")];
    let circle = of(&rooms);
    assert_eq!(circle.len(), 2, "{circle:?}");
    assert!(circle[1].starts_with("src/machine/a.rs:3: machine::a -> identity is in a circle"), "{circle:?}");
    let files =
        [("sys/mod", ""), ("sys/fs", "use super::{Errno, io};"), ("sys/io", "use super::Errno;\nuse super::fs::Stat;")];
    let circle = of(&files);
    assert_eq!(circle.len(), 2, "{circle:?}");
    assert!(circle[0].ends_with("sys::fs -> sys::io is in a circle"), "{circle:?}");
}
