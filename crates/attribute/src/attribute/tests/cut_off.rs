//! Grids whose cells have a classification of their own, from files to files.

use super::*;

#[test]
fn cells_that_are_cut_off_have_tables_of_their_own() {
    let scratch = prepare("cut-off", Family::Resnet);
    let more = "methods = [\"input_x_gradient\", \"lime:softmax\"]\nprobes = [\"linear-ce-s0\"]\n\
                lime = { samples = 8, segments = 9, segmentation = \"grid\" }\n";
    run(&scratch.stage(&format!("{more}settings = [\"difull\", \"dipart\"]"), false)).unwrap();
    assert!(scratch.maps("attribute").is_empty() && !scratch.maps("attribute.tiles").is_empty());
    let reader = Reader::open(&scratch.0.join("out").join(GRIDS_DIR), &GRIDS).unwrap();
    assert_eq!(GridRows::from_cells(reader.read_all().unwrap()).unwrap().grid_size, [3, 3, 2, 2, 2], "a row a grid");
    for (dir, grids, size) in [("difull3", 2, 3), ("difull2", 3, 2), ("dipart3", 2, 3), ("dipart2", 3, 2)] {
        let maps = scratch.maps(&format!("attribute.{dir}"));
        assert_eq!(maps.len(), grids * 2 * 2, "{dir}: two cells and two methods");
        let (side, area) = (maps.width[0] as usize, maps.map.len() / maps.len());
        for row in 0..maps.len() {
            assert_eq!(maps.item_kind[row], dir[..6]);
            assert!(maps.item[row].starts_with(&format!("{dir}/")), "{}", maps.item[row]);
            let last = maps.target_index[row] != 0;
            assert_eq!(maps.target_index[row], if last { size * size - 1 } else { 0 });
            // The cell diagonally across.
            let map = &maps.map[row * area..][..area];
            let far = (0..area).filter(|at| {
                let cell = [at / side, at % side].map(|place| place * size as usize / side);
                cell == [if last { 0 } else { size as usize - 1 }; 2]
            });
            // The features of a 2 x 2 grid's cell see over its corner into the one across.
            if maps.method[row] == "input_x_gradient" && dir != "dipart2" {
                assert!(far.map(|at| map[at]).all(|value| value == 0.0), "{}", maps.item[row]);
            }
            assert!(map.iter().any(|value| *value != 0.0), "{}", maps.item[row]);
        }
    }
}
